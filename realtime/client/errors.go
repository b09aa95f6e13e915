package client

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"roomlog/schema"
)

// CloseError says why a connection ended.
type CloseError struct {
	// Code is from the server's close frame, 1006 when there was none, or what this
	// client answered to a breach of the protocol.
	Code     schema.CloseCode
	Reason   string             // from the server's close frame
	Farewell *schema.Disconnect // the socket:disconnect that came before; nil: none
	Err      error              // what went wrong, when the server sent no close frame
}

func (e *CloseError) Error() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("connection lost: %v", e.Err)
	case e.Reason != "":
		return fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Reason)
	}
	return fmt.Sprintf("the server closed the connection: %d", e.Code)
}

func (e *CloseError) Unwrap() error { return e.Err }

// Reconnect reports whether the same client should come back: not when the
// server refuses the user, or either side broke the protocol.
func (e *CloseError) Reconnect() bool {
	switch ws.StatusCode(e.Code) {
	case ws.StatusProtocolError, ws.StatusUnsupportedData, ws.StatusInvalidFramePayloadData,
		ws.StatusPolicyViolation, ws.StatusMessageTooBig, ws.StatusMandatoryExt:
		return false
	case ws.StatusAbnormalClosure: // the close frame was lost, its announcement perhaps not
		return e.Farewell == nil || e.Farewell.Reconnect
	}
	return e.Code.Reconnect()
}

// RetryAfter is how long the server asked to wait before coming back; 0: not stated.
func (e *CloseError) RetryAfter() time.Duration {
	if e.Farewell == nil {
		return 0
	}
	return time.Duration(e.Farewell.RetryAfterMs) * time.Millisecond
}

// RefusedError is a handshake that the server answered with another HTTP status
// than 101.
type RefusedError struct {
	Status     int
	RetryAfter time.Duration // 0: not stated
	Message    string        // the beginning of the body
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("the server refused the connection: HTTP %d %s", e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// maxRefusal is how much of a refusal's body is kept, in bytes.
const maxRefusal = 512

// readRefusal returns a function for ws.Dialer that stores the server's answer in *to.
func readRefusal(to **RefusedError) func(int, []byte, io.Reader) {
	return func(status int, _ []byte, answer io.Reader) {
		*to = &RefusedError{Status: status}
		resp, err := http.ReadResponse(bufio.NewReader(answer), nil)
		if err != nil {
			return // the status alone must do
		}
		defer resp.Body.Close()
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
			(*to).RetryAfter = time.Duration(s) * time.Second
		}
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		(*to).Message = strings.TrimSpace(string(body))
	}
}

// AckError returns the error of an ack as a *schema.Error, nil for a good one.
func AckError(f schema.Frame) error {
	if f.Error == nil {
		return nil
	}
	return &schema.Error{
		Code:       f.Error.Code,
		Message:    f.Error.Message,
		Temporary:  f.Error.Temporary,
		RetryAfter: time.Duration(f.Error.RetryAfterMs) * time.Millisecond,
	}
}
