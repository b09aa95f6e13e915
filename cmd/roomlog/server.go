package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/realtime"
	"roomlog/replay"
)

// serverConfig is what serve takes as flags, and what demo and tests fill in.
type serverConfig struct {
	Data   string `default:"./roomlog-data" placeholder:"DIR" help:"Data directory (${default})."`
	Listen string `default:"127.0.0.1:7777" placeholder:"HOST:PORT" help:"Where to take clients (${default})."`

	AuthSecretFile string   `placeholder:"FILE" help:"File with the shared secret of HS256 tokens."`
	AuthJWKS       string   `name:"auth-jwks" placeholder:"FILE|URL" help:"Key set of RS256, ES256 and EdDSA tokens."`
	AuthIssuer     string   `placeholder:"ISS" help:"Issuer (iss) that tokens must have."`
	AuthAudience   string   `placeholder:"AUD" help:"Audience (aud) that tokens must have."`
	AllowedOrigins []string `placeholder:"ORIGIN" help:"Origins of web pages that may connect beside the server's own host; * for all."`
	TLSCert        string   `name:"tls-cert" placeholder:"FILE" help:"Certificate chain for wss, PEM."`
	TLSKey         string   `name:"tls-key" placeholder:"FILE" help:"Its private key, PEM."`

	MaxConnections           int           `default:"1000" placeholder:"N" help:"Connections at once (${default})."`
	MaxConnectionsPerAddress int           `default:"100" placeholder:"N" help:"Connections at once of one IPv4 address or IPv6 /64, this machine's own not counted; 0 for no limit (${default})."`
	TrustedProxies           []string      `placeholder:"CIDR" help:"Reverse proxies in front, as addresses or networks: clients are told apart by the X-Forwarded-For that these send, and nobody else."`
	MaxWait                  time.Duration `default:"1s" placeholder:"D" help:"Facts and queries that would wait longer than that at the server's pace are refused as OVERLOADED (${default})."`
	MaxResume                int           `default:"10000" placeholder:"N" help:"Missed pushes that a client is sent again; who missed more reads anew (${default})."`
	RateEvents               int           `default:"100" placeholder:"N" help:"Events a socket may send in --rate-window; 0 for no limit, and none of the other rates either (${default})."`
	RateUserEvents           int           `default:"300" placeholder:"N" help:"Events a user may send, over all sockets; 0 for no limit (${default})."`
	RateConnects             int           `default:"60" placeholder:"N" help:"Sockets a user may connect; 0 for no limit (${default})."`
	RatePosts                int           `default:"60" placeholder:"N" help:"Posts, comments and shares of a user; 0 for no limit (${default})."`
	RateReports              int           `default:"10" placeholder:"N" help:"Reports of a user; 0 for no limit (${default})."`
	RateUpgrades             int           `default:"300" placeholder:"N" help:"Connections and HTTP requests of one address, as --max-connections-per-address counts them; 0 for no limit (${default})."`
	RateWindow               time.Duration `default:"1m" placeholder:"D" help:"The window of all rates (${default})."`
	PresenceGrace            time.Duration `default:"10s" placeholder:"D" help:"How long after a user's last socket they count as offline (${default})."`
	DrainTimeout             time.Duration `default:"30s" placeholder:"D" help:"How long a shutdown may take (${default})."`

	RebuildInBackground bool `help:"After an upgrade that changed what read models hold, serve the old ones until the new ones are made, rather than refuse clients meanwhile."`

	AcceptLoss bool   `help:"Start although the log lacks records that were signed or applied: they are given up, and a new epoch begins."`
	SyncModels bool   `help:"Sync the read models with every batch too: slower, but after a power loss they need not be made anew from the log."`
	Fsync      string `default:"group" enum:"group,always" help:"How acked records get onto the disk: group (one fsync for all who wait) or always (the store's own)."`
	NATSListen string `name:"nats-listen" placeholder:"HOST:PORT" help:"Also take NATS clients there; off by default."`
	NATSURL    string `name:"nats-url" placeholder:"URL" help:"Keep the log in this NATS cluster in place of the data directory."`
	Replicas   int    `default:"1" placeholder:"N" help:"Replicas of the streams, with --nats-url (${default})."`

	signEvery time.Duration                   // for tests: how often a checkpoint is signed; 0: every minute
	onSync    func(path string, length int64) // for tests: what was made durable
	onRebuild func(projections.Point)         // for tests: where a rebuild is
	freeSpace func(dir string) (int64, error) // for tests: in place of the disk's
}

// Server is a whole roomlog in this process: log, read models, gateway and
// control socket.
type Server struct {
	cfg      serverConfig
	log      *eventlog.Log
	models   *projections.Models
	signer   *replay.Signer
	auth     *realtime.Auth
	gateway  *realtime.Server
	listener net.Listener
	control  *control
	logger   *slog.Logger

	closing sync.Once
	closed  error
}

// NewServer opens everything that cfg names and listens, but takes no client
// before Run. What it opened is closed again when it fails.
func NewServer(ctx context.Context, cfg serverConfig, logger *slog.Logger) (*Server, error) {
	s := &Server{cfg: cfg, logger: logger}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) (err error) {
	if err := s.cfg.check(); err != nil {
		return err
	}
	if err := s.cfg.checkDescriptors(); err != nil {
		return err
	}
	if err := finishRestore(s.cfg.Data, s.logger); err != nil {
		return err
	}
	if err := makeDataDir(s.cfg.Data, s.logger); err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	if s.log, err = openLog(ctx, s.cfg, s.logger, metrics); err != nil {
		return err
	}
	if err = s.openModels(ctx, metrics); err != nil {
		return fmt.Errorf("cannot open the read models: %w", err)
	}
	s.signer, err = replay.OpenSigner(replay.SignerConfig{Dir: s.cfg.Data, Log: s.log, Models: s.models, Logger: s.logger, OnSync: s.cfg.onSync})
	if err != nil {
		return err
	}
	if s.auth, err = s.openAuth(ctx); err != nil {
		return err
	}
	if s.listener, err = s.cfg.listen(); err != nil {
		return err
	}
	if s.gateway, err = realtime.New(s.gatewayConfig(metrics)); err != nil {
		return err
	}
	s.control, err = startControl(s, s.cfg.Data)
	return err
}

func (s *Server) gatewayConfig(metrics *prometheus.Registry) realtime.Config {
	c := realtime.Defaults()
	c.Log, c.Models, c.Auth = s.log, s.models, s.auth
	c.AllowedOrigins = s.cfg.AllowedOrigins
	c.MaxConnections, c.MaxPerAddress = s.cfg.MaxConnections, s.cfg.MaxConnectionsPerAddress
	c.TrustedProxies, _ = proxies(s.cfg.TrustedProxies) // check has read them
	c.RateEvents, c.RateWindow = s.cfg.RateEvents, s.cfg.RateWindow
	c.RateUserEvents, c.RateConnects, c.RateUpgrades = s.cfg.RateUserEvents, s.cfg.RateConnects, s.cfg.RateUpgrades
	c.RatePosts, c.RateReports = s.cfg.RatePosts, s.cfg.RateReports
	c.MaxResume, c.MaxWait = s.cfg.MaxResume, s.cfg.MaxWait
	c.PresenceGrace = s.cfg.PresenceGrace
	c.DrainTimeout = s.cfg.DrainTimeout
	c.Logger, c.Registerer = s.logger, metrics
	return c
}

// openAuth reads the configured ways to verify tokens. With none configured it
// uses a secret in the data directory, and makes it the first time.
func (s *Server) openAuth(ctx context.Context) (*realtime.Auth, error) {
	secretFile := s.cfg.AuthSecretFile
	if !s.cfg.authConfigured() {
		secretFile = filepath.Join(s.cfg.Data, secretName)
		secret, err := realtime.NewSecretFile(secretFile)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err == nil && s.cfg.onSync != nil {
			s.cfg.onSync(secretFile, int64(len(secret)+1)) // and the newline
			s.cfg.onSync(secretFile, -1)
		}
	}
	return realtime.NewAuth(ctx, realtime.AuthConfig{
		SecretFile: secretFile,
		JWKS:       s.cfg.AuthJWKS,
		Issuer:     s.cfg.AuthIssuer,
		Audience:   s.cfg.AuthAudience,
		Logger:     s.logger,
	})
}

// URL returns where clients connect.
func (s *Server) URL() string {
	scheme := "ws"
	if s.cfg.TLSCert != "" {
		scheme = "wss"
	}
	return scheme + "://" + s.listener.Addr().String() + "/ws"
}

// Run takes clients until ctx ends, then drains: no new clients, every accepted
// event committed, applied and answered. ready is called once, when the read
// models have caught up with the log. An error is what made the server stop by
// itself, or kept it from draining in time.
func (s *Server) Run(ctx context.Context, ready func()) error {
	serving, stopServing := context.WithCancelCause(ctx)
	defer stopServing(nil)
	// The read models outlive the gateway, whose drain waits for what they decide.
	applying, stopApplying := context.WithCancel(context.WithoutCancel(ctx))
	defer stopApplying()

	var running sync.WaitGroup
	running.Go(func() {
		if err := s.models.Run(applying); applying.Err() == nil {
			stopServing(fmt.Errorf("the read models stopped: %w", err))
		}
	})
	running.Go(func() { s.rebuildStale(applying) })
	running.Go(func() { collectLater(applying) })
	running.Go(func() {
		if err := s.keepSigned(serving, ready); err != nil {
			stopServing(err)
		}
	})
	err := s.gateway.Serve(serving, s.listener)
	if ctx.Err() != nil {
		err = errors.Join(err, s.sign(context.WithoutCancel(ctx))) // over all that was accepted
	} else {
		err = errors.Join(context.Cause(serving), err) // what began it first, then what came of it
	}
	stopServing(nil)
	stopApplying()
	running.Wait()
	return err
}

// Close releases everything that NewServer opened. It is called after Run has
// returned, or in its place.
func (s *Server) Close() error {
	s.closing.Do(func() {
		var errs []error
		if s.control != nil {
			s.control.close()
		}
		if s.listener != nil {
			s.listener.Close() // Run has closed it already, if it ran
		}
		if s.auth != nil {
			errs = append(errs, s.auth.Close())
		}
		if s.models != nil {
			errs = append(errs, s.models.Close())
		}
		if s.log != nil {
			errs = append(errs, s.log.Close())
		}
		s.closed = errors.Join(errs...)
	})
	return s.closed
}

func (s *Server) auditor() replay.Auditor { return replay.Auditor{Log: s.log, Models: s.models} }
