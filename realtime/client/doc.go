// Package client speaks roomlog's wire protocol: it dials a server, sends
// commands, matches acks to them and hands pushes on in order. It does not
// reconnect; CloseError says whether a caller should.
//
// Invariants:
//   - One goroutine reads a connection. It starts in Dial and has ended when
//     Close has returned or Done is closed; there is no other.
//   - Every frame is handled in the order in which it arrived, from that
//     goroutine: OnFrame, then the command's ack function or OnPush. These must
//     not wait for the client (Do, Close), or it would wait for itself; Send is
//     allowed.
//   - An ack function is called at most once, and never after Done is closed.
//   - With OnPush, a push that goes missing (a gap in n) ends the connection with
//     an error. Without it pushes are not decoded, and none is missed.
//
// It imports schema only, so that programs elsewhere can use it without the server.
package client
