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
//
// # Changing an event
//
// What a client sends may only ever be allowed more: old clients stay. What a record
// holds may change in any way, by a new version, since what is in the log stays as it is
// for ever and is upcast when it is read. For version N+1 of an event:
//
//  1. Raise its version in the catalogue. The gateway writes it from then on, and read
//     models are made anew at the next start (the version of projector keys follows).
//  2. Copy events/NAME.vN.json to events/NAME.vN+1.json and change the copy: its root is
//     what a client sends and, unless it has $defs/record, what a record holds.
//     TestNoStraySchemaFiles fails without it.
//  3. Change the payload type, and what of realtime/commands_*.go fills it in.
//  4. Add the step from N to N+1 to upcasts: what version N meant, not what one would
//     guess of it today. TestEveryVersionOfAFactHasAGoldenRecord fails without it.
//  5. Add a golden record testdata/records/NAME.vN+1.json behind all others, and let
//     those of older versions be. The same test fails without it, and package
//     projections' TestGoldenRecordsAreApplied when one of them has no effect.
//  6. When a projector makes something else of the event, raise its version in
//     projections/homes.go, whether the record is old or new.
//  7. Run go generate ./... for the AsyncAPI document and PROTOCOL.md.
//     TestAsyncAPIDocumentIsFresh and TestReference fail without it.
//
// Start the new release on every node that shares a log before clients use what is new:
// an older one parks the records that it does not know, and goes on.
package schema
