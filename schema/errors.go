package schema

import "time"

// Code is a stable error code that a client may act on.
type Code string

// Error is what a client is told when a command fails. Inner causes go to the
// server's log, never here.
type Error struct {
	Code       Code
	Message    string
	Temporary  bool          // the same command may succeed later, unchanged
	RetryAfter time.Duration // 0: not stated
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// NewError returns an error with the code's own message from the table, or with
// detail in its place when detail is not empty.
func NewError(code Code, detail string) *Error {
	row, ok := codes[code]
	if !ok {
		panic("schema: error code " + string(code) + " is not in the table")
	}
	if detail == "" {
		detail = row.message
	}
	return &Error{Code: code, Message: detail, Temporary: row.temporary}
}

// The error codes. Their messages stand in the table below.
const (
	BadFrame     Code = "BAD_FRAME"
	UnknownEvent Code = "UNKNOWN_EVENT"
	NotACommand  Code = "NOT_A_COMMAND"
	UnknownField Code = "UNKNOWN_FIELD"
	MissingField Code = "MISSING_FIELD"
	InvalidField Code = "INVALID_FIELD"
	KeyReused    Code = "KEY_REUSED"
	DuplicateKey Code = "DUPLICATE_KEY"

	NotConnected     Code = "NOT_CONNECTED"
	AlreadyConnected Code = "ALREADY_CONNECTED"
	InvalidToken     Code = "INVALID_TOKEN"
	TokenExpired     Code = "TOKEN_EXPIRED"
	NotPermitted     Code = "NOT_PERMITTED"
	Suspended        Code = "SUSPENDED"
	RateLimited      Code = "RATE_LIMITED"
	TooManyRooms     Code = "TOO_MANY_ROOMS"
	TooManyInFlight  Code = "TOO_MANY_IN_FLIGHT"
	TooManySockets   Code = "TOO_MANY_CONNECTIONS"
	TooManyTails     Code = "TOO_MANY_TAILS"

	PostNotFound         Code = "POST_NOT_FOUND"
	CommentNotFound      Code = "COMMENT_NOT_FOUND"
	UserNotFound         Code = "USER_NOT_FOUND"
	ConversationNotFound Code = "CONVERSATION_NOT_FOUND"
	MessageNotFound      Code = "MESSAGE_NOT_FOUND"
	NotificationNotFound Code = "NOTIFICATION_NOT_FOUND"
	ReportNotFound       Code = "REPORT_NOT_FOUND"
	Oneself              Code = "ONESELF"
	AlreadyLiked         Code = "ALREADY_LIKED"
	NotLiked             Code = "NOT_LIKED"
	AlreadyShared        Code = "ALREADY_SHARED"
	AlreadyFollowing     Code = "ALREADY_FOLLOWING"
	NotFollowing         Code = "NOT_FOLLOWING"
	AlreadyBlocked       Code = "ALREADY_BLOCKED"
	NotBlocked           Code = "NOT_BLOCKED"
	Blocked              Code = "BLOCKED"
	AlreadyFriends       Code = "ALREADY_FRIENDS"
	RequestExists        Code = "FRIEND_REQUEST_EXISTS"
	RequestNotFound      Code = "FRIEND_REQUEST_NOT_FOUND"
	NotInRoom            Code = "NOT_IN_ROOM"
	ConversationExists   Code = "CONVERSATION_EXISTS"
	AlreadyParticipant   Code = "ALREADY_A_PARTICIPANT"
	NotParticipant       Code = "NOT_A_PARTICIPANT"
	TooManyParticipants  Code = "TOO_MANY_PARTICIPANTS"
	AlreadyDelivered     Code = "ALREADY_DELIVERED"
	AlreadyRead          Code = "ALREADY_READ"
	AlreadyRemoved       Code = "ALREADY_REMOVED"
	NotRemoved           Code = "NOT_REMOVED"
	AlreadyReported      Code = "ALREADY_REPORTED"
	AlreadyResolved      Code = "ALREADY_RESOLVED"
	NotSuspended         Code = "NOT_SUSPENDED"

	Overloaded     Code = "OVERLOADED"
	Parked         Code = "PARKED"
	LogUnavailable Code = "LOG_UNAVAILABLE"
	ShuttingDown   Code = "SHUTTING_DOWN"
	Internal       Code = "INTERNAL"
)

// codes holds every code's message and whether the same command may succeed later.
var codes = map[Code]struct {
	message   string
	temporary bool
}{
	BadFrame:     {"the frame is not one JSON object", false},
	UnknownEvent: {"no event of that name is in the catalogue", false},
	NotACommand:  {"this event is sent by the server only", false},
	UnknownField: {"a field is not part of this event", false},
	MissingField: {"a required field is missing", false},
	InvalidField: {"a field has a value this event does not allow", false},
	KeyReused:    {"this key was used for another command in the last 24 hours", false},
	DuplicateKey: {"this command was already carried out under the same key", false},

	NotConnected:     {"send socket:connect with a token first", false},
	AlreadyConnected: {"this socket is already connected", false},
	InvalidToken:     {"the token is not valid here", false},
	TokenExpired:     {"the token has expired", false},
	NotPermitted:     {"you may not do this", false},
	Suspended:        {"this user is suspended", false},
	RateLimited:      {"too many events; wait before the next one", true},
	TooManyRooms:     {"this socket is in as many rooms as it may be", false},
	TooManyInFlight:  {"too many commands wait for their ack on this socket", true},
	TooManySockets:   {"too many connections", true},
	TooManyTails:     {"as many sockets as this server allows follow the log", true},

	PostNotFound:         {"no such post", false},
	CommentNotFound:      {"no such comment", false},
	UserNotFound:         {"no such user", false},
	ConversationNotFound: {"no such conversation", false},
	MessageNotFound:      {"no such message", false},
	NotificationNotFound: {"no such notification", false},
	ReportNotFound:       {"no such report", false},
	Oneself:              {"this cannot be done to oneself", false},
	AlreadyLiked:         {"you already like this post", false},
	NotLiked:             {"you do not like this post", false},
	AlreadyShared:        {"you already shared this post", false},
	AlreadyFollowing:     {"you already follow this user", false},
	NotFollowing:         {"you do not follow this user", false},
	AlreadyBlocked:       {"you already block this user", false},
	NotBlocked:           {"you do not block this user", false},
	Blocked:              {"one of you blocks the other", false},
	AlreadyFriends:       {"you are already friends", false},
	RequestExists:        {"a friend request between you is already open", false},
	RequestNotFound:      {"no such friend request is open", false},
	NotInRoom:            {"join the room first", false},
	ConversationExists:   {"there is a direct conversation between you already", false},
	AlreadyParticipant:   {"a user to be added is in the conversation already", false},
	NotParticipant:       {"a user to be removed is not in the conversation", false},
	TooManyParticipants:  {"a conversation has room for 1000 participants", false},
	AlreadyDelivered:     {"this message was marked as delivered already", false},
	AlreadyRead:          {"this message was marked as read already", false},
	AlreadyRemoved:       {"this is removed already", false},
	NotRemoved:           {"this is not removed", false},
	AlreadyReported:      {"you reported this, and the report is open", false},
	AlreadyResolved:      {"this report is resolved already", false},
	NotSuspended:         {"this user is not suspended", false},

	Overloaded:     {"the server has as much to do as it can in time; wait before you send it again", true},
	Parked:         {"the record is stored, but the server could not apply it; operators have been told", false},
	LogUnavailable: {"the log does not take records right now", true},
	ShuttingDown:   {"the server is shutting down", true},
	Internal:       {"the server failed to answer", true},
}

// CloseCode is a WebSocket close code. 4000–4499: reconnect; 4500–4999: do not.
// Violations of RFC 6455 itself close with the RFC's own codes (1002, 1003, 1007, 1009).
type CloseCode uint16

// The close codes of roomlog.
const (
	CloseShuttingDown  CloseCode = 4001
	CloseTokenExpired  CloseCode = 4005
	CloseTooSlow       CloseCode = 4008
	CloseNoPong        CloseCode = 4012
	CloseTooManyEvents CloseCode = 4013

	CloseInvalidToken   CloseCode = 4500
	CloseBadFrames      CloseCode = 4501
	CloseSuspended      CloseCode = 4503
	CloseTooManySockets CloseCode = 4504
	CloseNotPermitted   CloseCode = 4507
)

// Reconnect reports whether a client should come back after this code.
func (c CloseCode) Reconnect() bool { return c < 4500 }

// Reason returns the text that goes with the code in the close frame.
func (c CloseCode) Reason() string { return closeReasons[c] }

var closeReasons = map[CloseCode]string{
	CloseShuttingDown:   "shutting down",
	CloseTokenExpired:   "token expired",
	CloseTooSlow:        "too slow",
	CloseNoPong:         "no pong",
	CloseTooManyEvents:  "too many events",
	CloseInvalidToken:   "invalid token",
	CloseBadFrames:      "bad frames",
	CloseSuspended:      "suspended",
	CloseTooManySockets: "too many connections",
	CloseNotPermitted:   "not permitted",
}
