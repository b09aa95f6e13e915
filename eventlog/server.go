package eventlog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// account is the NATS account that owns the streams, and with it the name of a
// folder in the store.
const account = "ROOMLOG"

// readerPrefix stands in place of "$JS.API" for auditor and moderator, whose own
// accounts have no JetStream: nats --js-api-prefix ROOMLOG.API stream get EVENTS 1
const readerPrefix = "ROOMLOG.API"

// The users of the embedded server. All but the first only exist when it listens.
const (
	userSelf      = "roomlog"
	userOperator  = "operator"  // everything in the account but to write the log or take from it
	userAuditor   = "auditor"   // reads EVENTS and ADMIN
	userModerator = "moderator" // reads ADMIN
)

// ServerVersion is the version of the embedded NATS server.
const ServerVersion = server.VERSION

// embedded is the NATS server inside this process.
type embedded struct {
	*server.Server
	password string // of userSelf, new at each start
}

// startServer starts the embedded server and returns once its streams are
// recovered.
func startServer(cfg Config, syncAlways bool) (*embedded, error) {
	e := &embedded{password: rand.Text()}
	opts, err := e.options(cfg, syncAlways)
	if err != nil {
		return nil, err
	}
	log := &serverLog{to: cfg.Logger}
	if e.Server, err = server.NewServer(opts); err != nil {
		return nil, fmt.Errorf("configuring the embedded NATS server: %w", err)
	}
	e.SetLoggerV2(log, false, false, false)
	e.Start()
	const patience = 10 * time.Second // recovery is over: what is left takes milliseconds
	if fatal := log.fatal(); fatal != "" || !e.ReadyForConnections(patience) {
		e.stop()
		return nil, fmt.Errorf("the embedded NATS server did not start in %s: %s", filepath.Join(cfg.Dir, "jetstream"), fatal)
	}
	return e, nil
}

func (e *embedded) options(cfg Config, syncAlways bool) (*server.Options, error) {
	opts := &server.Options{}
	accounts, err := e.accounts(cfg)
	if err != nil {
		return nil, err
	}
	if err := opts.ProcessConfigString(accounts); err != nil {
		return nil, fmt.Errorf("configuring the embedded NATS server: %w", err)
	}
	opts.ServerName = "roomlog"
	opts.NoSigs = true // the process handles its signals itself
	opts.JetStream = true
	opts.StoreDir = cfg.Dir
	opts.SyncAlways = syncAlways
	// The committer watches the free space itself, and with a better answer.
	opts.JetStreamMaxStore = math.MaxInt64 / 2
	opts.DontListen = cfg.NATSListen == ""
	if !opts.DontListen {
		opts.Host, opts.Port, err = listenAddress(cfg.NATSListen)
	}
	return opts, err
}

// accounts writes the part of the server's configuration that says who may do
// what. Readers have accounts of their own that import nothing but read requests:
// in the log's account even a read-only user could name one of its subjects as
// the reply to a request, and so have the server write there.
func (e *embedded) accounts(cfg Config) (string, error) {
	if cfg.NATSListen == "" {
		return fmt.Sprintf("accounts { %s { jetstream: enabled, users: [%s] } }", account, user(userSelf, e.password)), nil
	}
	passwords := make(map[string]string)
	for _, name := range []string{userOperator, userAuditor, userModerator} {
		password, err := userPassword(cfg.Dir, name)
		if err != nil {
			return "", err
		}
		passwords[name] = password
	}
	events, admin := readRequests(streamEvents), readRequests(streamAdmin)
	var exports []string
	for _, subject := range events {
		exports = append(exports, fmt.Sprintf("{service: %q, response: stream, accounts: [AUDITOR]}", subject))
	}
	for _, subject := range admin {
		exports = append(exports, fmt.Sprintf("{service: %q, response: stream, accounts: [AUDITOR, MODERATOR]}", subject))
	}
	reader := func(name, user string, subjects []string) string {
		var imports []string
		for _, subject := range subjects {
			local := readerPrefix + strings.TrimPrefix(subject, "$JS.API")
			imports = append(imports, fmt.Sprintf("{service: {account: %s, subject: %q}, to: %q}", account, subject, local))
		}
		return fmt.Sprintf("%s { users: [%s], imports: [%s] }", name, user, strings.Join(imports, ", "))
	}
	return fmt.Sprintf("accounts { %s { jetstream: enabled, users: [%s, %s], exports: [%s] }\n%s\n%s }",
		account, user(userSelf, e.password), operator(passwords[userOperator]), strings.Join(exports, ", "),
		reader("AUDITOR", user(userAuditor, passwords[userAuditor]), append(events, admin...)),
		reader("MODERATOR", user(userModerator, passwords[userModerator]), admin),
	), nil
}

// readRequests returns the requests of the JetStream API that read a stream and
// leave it as it is. Consumers are not among them: their creator names the subject
// that the server delivers to.
func readRequests(stream string) []string {
	return []string{
		"$JS.API.STREAM.INFO." + stream,
		"$JS.API.STREAM.MSG.GET." + stream,
		"$JS.API.DIRECT.GET." + stream,
		"$JS.API.DIRECT.GET." + stream + ".>",
	}
}

func user(name, password string) string {
	return fmt.Sprintf("{user: %q, password: %q}", name, password)
}

// operator is the user who may look at everything, and make streams and consumers of
// their own. That the log cannot be deleted or published to by them guards against a
// slip of the hand: DenyDelete and DenyPurge do not stop STREAM.DELETE. Who means harm
// can have the server write there, by the reply subject of a request or a stream that
// publishes again; but whoever has this password has the files anyway.
func operator(password string) string {
	deny := []string{"events.>", "signals.>", "admin.>"}
	for _, stream := range []string{streamEvents, streamSignals, streamAdmin} {
		for _, request := range []string{"CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "RESTORE"} {
			deny = append(deny, "$JS.API.STREAM."+request+"."+stream)
		}
	}
	return fmt.Sprintf("{user: %q, password: %q, permissions: {publish: {deny: [%s]}}}",
		userOperator, password, `"`+strings.Join(deny, `", "`)+`"`)
}

// minPassword tells a password file from what a power loss may leave of one: made
// ones have 26 characters.
const minPassword = 16

// userPassword reads a user's password from its file in the data directory,
// making it the first time.
func userPassword(dir, name string) (string, error) {
	file := filepath.Join(dir, "nats."+name+".password")
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		b = []byte(rand.Text() + "\n")
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("the password of NATS user %s: %w", name, err)
	}
	password := strings.TrimSpace(string(b))
	if len(password) < minPassword {
		return "", fmt.Errorf("the password file %s has less than %d characters: delete it and a new one is made", file, minPassword)
	}
	return password, nil
}

// listenAddress splits host:port and makes sure that it can be listened at, since
// the server itself would only say so in its log.
func listenAddress(address string) (host string, port int, err error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return "", 0, fmt.Errorf("cannot open the NATS port, choose another --nats-listen: %w", err)
	}
	defer ln.Close()
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(digits); port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, err
}

// RedactURL is a NATS URL, or a list of them, without the password or token in it:
// fit for a log.
func RedactURL(list string) string {
	urls := strings.Split(list, ",")
	for i, text := range urls {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil {
			u = &url.URL{Opaque: "(no URL)"}
		}
		if _, secret := u.User.Password(); u.User != nil && !secret {
			u.User = url.User("xxxxx") // a token
		}
		urls[i] = u.Redacted()
	}
	return strings.Join(urls, ",")
}

// withoutURL is an error without the address that it quotes, password and all.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// dial connects in process.
func (e *embedded) dial(options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.InProcessServer(e.Server), nats.UserInfo(userSelf, e.password))
	return nats.Connect("", options...)
}

func (e *embedded) stop() {
	e.Shutdown()
	e.WaitForShutdown()
}

// NATSAddr returns the address at which the embedded server takes NATS clients,
// "" when it takes none.
func (l *Log) NATSAddr() string {
	if l.server == nil || l.cfg.NATSListen == "" {
		return ""
	}
	return l.server.Addr().String()
}

// serverLog routes the server's log to slog. Its notices are details here.
type serverLog struct {
	to   *slog.Logger
	mu   sync.Mutex
	last string // what was fatal
}

func (s *serverLog) Noticef(format string, v ...any) {
	s.to.Debug("nats: " + fmt.Sprintf(format, v...))
}

// Warnf leaves out that passwords are not hashed: ours are random, in this
// process's memory or in files that only its owner reads.
func (s *serverLog) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, "Plaintext passwords") {
		s.to.Warn("nats: " + fmt.Sprintf(format, v...))
	}
}

func (s *serverLog) Errorf(format string, v ...any) { s.to.Error("nats: " + fmt.Sprintf(format, v...)) }
func (s *serverLog) Debugf(string, ...any)          {}
func (s *serverLog) Tracef(string, ...any)          {}

// Fatalf keeps the message for startServer; it must not end the process.
func (s *serverLog) Fatalf(format string, v ...any) {
	s.Errorf(format, v...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = fmt.Sprintf(format, v...)
}

func (s *serverLog) fatal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}
