// Package client speaks roomlog's wire protocol.
//
// Client is one connection: it dials a server, sends commands, matches acks to
// them and hands pushes on in order. It does not come back; CloseError says
// whether a caller should. Session is one user's presence over many connections:
// it comes back by itself, goes on where it stood, and sends again what was not
// answered. Programs use Session; Client is for those to which the connection
// itself matters, such as load tests.
//
// Invariants of a Client:
//   - One goroutine reads a connection. It starts in Dial and has ended when
//     Close has returned or Done is closed; there is no other.
//   - Every frame is handled in the order in which it arrived, from that
//     goroutine: OnFrame, then the command's ack function or OnPush. These must
//     not wait for the client (Do, Close), or it would wait for itself; Send is
//     allowed.
//   - An ack function is called at most once, and never after Done is closed.
//   - With OnPush, a push that goes missing (a gap in n) ends the connection with
//     an error. Without it pushes are not decoded, and none is missed.
//   - A server that is silent for longer than its pingInterval allows is pinged,
//     then given up.
//
// Invariants of a Session:
//   - The app's functions are called one at a time. OnPush hears of each push of a
//     record once over all connections, in the order of the log; a push that is
//     not after all that was heard before ends the connection, which the next one
//     makes good. Pushes of signals, which are no records, may be missed.
//   - The cursor is the highest seq of any push of a record, of any ack of a fact
//     that is not a duplicate's, and of socket:resumed. A duplicate's ack is given
//     out of turn, so that moving on with it would lose pushes.
//   - A command is answered once: by its ack, or when the session ends. Until then
//     it is sent on every connection, at most once on each unless the server
//     refused it for now. Facts have a key, so that they are carried out once.
//   - Commands are sent in the order in which they were given, first and again, and
//     nothing overtakes one that was refused for now. None is sent while the
//     session catches up.
//   - Whenever pushes were missed that cannot be had, OnResync is called, also if
//     socket:resync was lost with its connection.
//   - One goroutine besides the reading one sends and comes back; both have ended
//     when Close has returned or Done is closed.
//
// It imports schema only, so that programs elsewhere can use it without the server.
package client
