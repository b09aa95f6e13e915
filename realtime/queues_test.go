package realtime

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"roomlog/eventlog"
	"roomlog/projections"
)

// gathers says of everything that a server keeps in maps, slices and channels for as
// long as it runs, or a socket lasts, which queue of the metrics it is; or, after a
// dash, why it needs none.
var gathers = map[string]string{
	"acks.waiting":                    "facts",
	"addresses.open":                  "addresses",
	"arrivals.ids":                    "arrivals",
	"auditor.tallies":                 "audit",
	"buffer.bytes":                    "pushes_bytes",
	"circle.at":                       "circles",
	"circles.now":                     "circles",
	"circles.old":                     "circles",
	"handshakes.since":                "handshakes",
	"limiter[net/netip.Addr].buckets": "limit_upgrade",
	"limiter[string].buckets":         "limit_user",
	"presence.changed":                "presence_news",
	"presence.lastSeen":               "presence_seen",
	"presence.leaving":                "presence_leaving",
	"related.ids":                     "circles",
	"related.since":                   "circles",
	"resume.held":                     "resumes_held",
	"starts.queues":                   "writers",
	"tails.open":                      "tails",
	"turns.slots":                     "turns",
	"workers.tasks":                   "commands",
	"writers.due":                     "writers",

	"hub.rooms":     "- MaxRoomsPerSocket for each socket: roomlog_rooms",
	"hub.sockets":   "- MaxConnections: roomlog_sockets",
	"hub.users":     "- who has a socket, and those of presence_leaving: roomlog_users",
	"room.members":  "- one for each seat",
	"session.seats": "- MaxRoomsPerSocket",

	"Identity.Roles":  "- of a token, which has 8 KiB at most",
	"auditor.budgets": "- one for each kind of entry",
	"circle.again":    "- with more than the circle has, and a few, it is forgotten",
	"frameReader.buf": "- 512 bytes, or what came with the handshake",
	"pushFrame.head":  "- part of what is queued",
	"pushFrame.tail":  "- part of what is queued",
	"waitingAck.id":   "- 128 bytes",

	"acks.none":      "- a signal",
	"keySet.reading": "- a lock",
	"presence.wake":  "- a signal",
	"sendQueue.half": "- a signal",
	"tail.ended":     "- a signal",
	"task.done":      "- a signal",
	"writers.wake":   "- a signal",

	"Auth.secret":           "- configured",
	"Config.AllowedOrigins": "- configured",
	"Config.TrustedProxies": "- configured",
	"keySet.last":           "- configured",
}

// Nothing that a server keeps grows without a bound, which the metrics show.
func TestEveryQueueHasABound(t *testing.T) {
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	models, err := projections.Open(t.Context(), projections.Config{Path: filepath.Join(t.TempDir(), "models.db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer models.Close()
	cfg := Defaults()
	cfg.Log, cfg.Models, cfg.Auth = log, models, new(Auth)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	bounded := map[string]bool{}
	for _, q := range s.queues() {
		if q.Bound <= 0 || q.Length < 0 || q.Length > q.Bound {
			t.Errorf("%d wait in %s, of at most %d", q.Length, q.Name, q.Bound)
		}
		if bounded[q.Name] {
			t.Errorf("there are two queues %s", q.Name)
		}
		bounded[q.Name] = true
	}
	grows := map[string]bool{}
	for _, typ := range []reflect.Type{reflect.TypeFor[Server](), reflect.TypeFor[session]()} {
		collect(typ, grows, map[reflect.Type]bool{})
	}
	for field := range grows {
		queue, known := gathers[field]
		if !known {
			t.Errorf("%s can grow, and nobody says up to where", field)
		} else if !bounded[queue] && !strings.HasPrefix(queue, "- ") {
			t.Errorf("%s is said to be the queue %s, which the metrics do not have", field, queue)
		}
	}
	for field := range gathers {
		if !grows[field] {
			t.Errorf("there is no %s any more", field)
		}
	}
}

// collect finds the fields that can grow in a type, and in what it holds, as far as
// they are of this package.
func collect(typ reflect.Type, found map[string]bool, seen map[reflect.Type]bool) {
	switch typ.Kind() {
	case reflect.Map, reflect.Slice, reflect.Chan, reflect.Pointer, reflect.Array:
		collect(typ.Elem(), found, seen)
		return
	}
	if typ.Kind() != reflect.Struct || seen[typ] {
		return
	}
	seen[typ] = true
	if typ.PkgPath() == "sync/atomic" { // atomic.Pointer[T]
		if load, ok := reflect.PointerTo(typ).MethodByName("Load"); ok {
			collect(load.Type.Out(0), found, seen)
		}
		return
	}
	if !strings.HasSuffix(typ.PkgPath(), "/realtime") {
		return
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		switch f.Type.Kind() {
		case reflect.Map, reflect.Slice, reflect.Chan:
			found[typ.Name()+"."+f.Name] = true
		}
		collect(f.Type, found, seen)
	}
}
