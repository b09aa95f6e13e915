package schema

// The payloads of the connection itself: what a client and the server say about
// the socket rather than through it.

// Protocol is the version of the wire that socket:hello announces, and
// Subprotocol the WebSocket subprotocol that goes with it.
const (
	Protocol    = 1
	Subprotocol = "roomlog.v1"
)

// Hello is the data of socket:hello, the first frame from the server.
type Hello struct {
	SocketID      string      `json:"socketId"`
	Protocol      int         `json:"protocol"`
	PingInterval  int64       `json:"pingInterval"` // milliseconds between the server's WebSocket pings
	MaxFrameBytes int         `json:"maxFrameBytes"`
	Log           LogPosition `json:"log"`
}

// LogPosition is a place in one life of the log: a seq means nothing under
// another epoch.
type LogPosition struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// Connect is the data of socket:connect, the first frame from the client.
// Token is left out when the handshake carried one. Without Namespaces the
// socket gets all that the token's roles allow.
type Connect struct {
	Token      string      `json:"token,omitempty"`
	Namespaces []Namespace `json:"namespaces,omitempty"`
	Resume     *Resume     `json:"resume,omitempty"`
}

// Resume asks for every push after Seq, and for the rooms the socket was in.
type Resume struct {
	Epoch string   `json:"epoch"`
	Seq   uint64   `json:"seq"`
	Rooms []string `json:"rooms,omitempty"`
}

// Connected is the ack of socket:connect. Seq is the place in the log from
// which pushes are live; Resumed says that missed pushes follow.
type Connected struct {
	User       Actor       `json:"user"`
	Namespaces []Namespace `json:"namespaces"`
	Rooms      []string    `json:"rooms"`
	Seq        uint64      `json:"seq"`
	Resumed    bool        `json:"resumed"`
}

// Refresh is the data of socket:refresh.
type Refresh struct {
	Token string `json:"token"`
}

// Resumed is the data of socket:resumed: Count missed pushes up to Seq were sent.
type Resumed struct {
	Seq   uint64 `json:"seq"`
	Count int    `json:"count"`
}

// The reasons of socket:resync.
const (
	ResyncEpoch  = "epoch"   // the log is another one than the client followed
	ResyncFuture = "future"  // the client's seq is not in the log yet
	ResyncTooFar = "too_far" // more was missed than the server sends again
	// ResyncUnavailable: this server cannot send missed pushes again.
	ResyncUnavailable = "unavailable"
)

// Resync is the data of socket:resync: read everything again by query, then
// follow from Seq.
type Resync struct {
	Reason string `json:"reason"`
	Seq    uint64 `json:"seq"`
}

// Disconnect is the data of socket:disconnect, the last frame before the server
// closes. UserID is empty on a socket that never authenticated; Reason is that
// of the close code which follows.
type Disconnect struct {
	UserID       string `json:"userId"`
	Reason       string `json:"reason"`
	Reconnect    bool   `json:"reconnect"`
	RetryAfterMs int64  `json:"retryAfterMs,omitempty"`
}

// Empty is the data of socket:ping and of the other commands that need none, and
// of acks without data: an empty object.
type Empty struct{}

// Pong is the ack of socket:ping: the server's clock.
type Pong struct {
	Time Time `json:"time"`
}
