// Package schema is the catalogue of roomlog's events as code: their names,
// namespaces, kinds, who may send them, payload types, one JSON Schema file an
// event and version, room names, and the error and close codes a client may see.
//
// It is the vocabulary that every other package speaks. It knows nothing of
// storage or sockets and imports no other package of roomlog.
//
// Invariants:
//   - An event's rules live in one place: its row in the catalogue, its schema
//     file in events/, and its payload type. Everything else (the AsyncAPI
//     document, validation, the NATS subject) is derived from those.
//   - Everything a client sends is judged by its schema file, strictly: what the
//     file does not name is refused. What passed Validate can be decoded.
//   - A name, once released, keeps its meaning. A payload that changes shape
//     gets a new version and an upcast from the old one.
package schema
