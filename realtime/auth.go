package realtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"roomlog/schema"
)

// Limits on a token and its claims.
const (
	maxTokenBytes    = 8 << 10 // as much as common HTTP servers take for one header line
	maxUsernameRunes = 64
	maxAvatarBytes   = 2048
)

// Identity is who a verified token speaks for.
type Identity struct {
	Actor schema.Actor
	Roles []schema.Role // always with RoleUser; roles the catalogue does not know are left out
	// Expires is the moment from which the token is no longer accepted: its exp
	// claim plus the leeway.
	Expires time.Time
}

// Has reports whether the token carries the role.
func (id Identity) Has(role schema.Role) bool {
	return slices.Contains(id.Roles, role)
}

// AuthConfig says which tokens are accepted. At least one of Secret, SecretFile
// and JWKS is needed. HS256 is accepted only with a secret, and RS256, ES256 and
// EdDSA only with a JWKS, so that no key is ever used for an algorithm that it
// was not made for.
type AuthConfig struct {
	Secret     []byte // shared secret of at least MinSecretBytes
	SecretFile string // or the file that holds it; a newline at its end is not part of it
	JWKS       string // file path or http(s) URL of a JSON Web Key Set (RFC 7517)

	Issuer   string        // when set, iss must be it
	Audience string        // when set, aud must contain it
	Leeway   time.Duration // by how much the issuer's clock may differ, for exp and nbf; default 0

	// Refresh is how often the JWKS is read again: default 5 minutes for a URL, 5
	// seconds for a file. A token that names an unknown key makes it be read at
	// once, at most every UnknownKeyEvery (default 10 seconds).
	Refresh         time.Duration
	UnknownKeyEvery time.Duration

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // nil: none
}

// Auth verifies tokens. All methods may be called concurrently.
type Auth struct {
	secret []byte  // nil: no HS256
	keys   *keySet // nil: no RS256, ES256, EdDSA
	parser *jwt.Parser
	leeway time.Duration
}

// NewAuth reads the secret and the key set that cfg names; ctx bounds that
// first read. An error says in one sentence what to do about it. The caller
// calls Close.
func NewAuth(ctx context.Context, cfg AuthConfig) (*Auth, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Auth{secret: cfg.Secret, leeway: cfg.Leeway}
	if cfg.SecretFile != "" {
		if len(cfg.Secret) > 0 {
			return nil, errors.New("give either a secret or a secret file, not both")
		}
		secret, err := ReadSecretFile(cfg.SecretFile)
		if err != nil {
			return nil, err
		}
		warnIfReadableByOthers(cfg.Logger, cfg.SecretFile)
		a.secret = secret
	}
	var algorithms []string
	if len(a.secret) > 0 {
		if err := checkSecret(a.secret); err != nil {
			return nil, err
		}
		algorithms = append(algorithms, jwt.SigningMethodHS256.Alg())
	}
	if cfg.JWKS != "" {
		keys, err := openKeySet(ctx, cfg)
		if err != nil {
			return nil, err
		}
		a.keys = keys
		algorithms = append(algorithms, jwt.SigningMethodRS256.Alg(), jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg())
	}
	if len(algorithms) == 0 {
		return nil, errors.New("no way to verify tokens: give a secret file (HS256) or a JWKS file or URL (RS256, ES256, EdDSA)")
	}
	a.parser = newParser(cfg, algorithms)
	return a, nil
}

func newParser(cfg AuthConfig, algorithms []string) *jwt.Parser {
	options := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(cfg.Leeway),
		jwt.WithTimeFunc(cfg.Now),  // nil: time.Now
		jwt.WithIssuer(cfg.Issuer), // "": any, and none
		jwt.WithStrictDecoding(),
	}
	if cfg.Audience != "" {
		options = append(options, jwt.WithAudience(cfg.Audience))
	}
	return jwt.NewParser(options...)
}

// Close ends the refreshing of the key set and waits for it. Verify goes on
// working with the keys read last.
func (a *Auth) Close() error {
	if a.keys != nil {
		a.keys.close()
	}
	return nil
}

// claims are the claims of a token that mean something here; others are ignored.
type claims struct {
	jwt.RegisteredClaims
	Username string   `json:"username,omitempty"`
	Avatar   string   `json:"avatar,omitempty"`
	Roles    []string `json:"roles,omitempty"`
}

// Verify checks a token and returns whom it speaks for. An error wraps a
// *schema.Error for the client, INVALID_TOKEN or TOKEN_EXPIRED, beside the
// reason, which is for the log only. TOKEN_EXPIRED is said only of a token that
// has nothing else wrong with it. ctx bounds the wait for a key set that is read
// again because the token names a key it did not have.
func (a *Auth) Verify(ctx context.Context, token string) (Identity, error) {
	if len(token) > maxTokenBytes {
		return Identity{}, invalidToken(fmt.Errorf("token of %d bytes", len(token)))
	}
	var c claims
	parsed, err := a.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) { return a.key(ctx, t) })
	if err != nil {
		if onlyExpired(err) {
			return Identity{}, fmt.Errorf("%w: %w", schema.NewError(schema.TokenExpired, ""), jwt.ErrTokenExpired)
		}
		return Identity{}, invalidToken(withoutToken(err))
	}
	if _, ok := parsed.Header["crit"]; ok {
		// RFC 7515, 4.1.11: extensions marked critical must be understood; none is here.
		return Identity{}, invalidToken(errors.New("the header has critical extensions"))
	}
	id, err := c.identity()
	if err != nil {
		return Identity{}, invalidToken(err)
	}
	id.Expires = id.Expires.Add(a.leeway)
	return id, nil
}

// key returns the key for the token's algorithm, which the parser has already
// found to be one of those accepted.
func (a *Auth) key(ctx context.Context, t *jwt.Token) (any, error) {
	if t.Method == jwt.SigningMethodHS256 {
		return a.secret, nil
	}
	return a.keys.key(ctx, t)
}

func invalidToken(cause error) error {
	return fmt.Errorf("%w: %w", schema.NewError(schema.InvalidToken, ""), cause)
}

// withoutToken is what is wrong with a token, for the log: the parser's own words
// quote from it.
func withoutToken(err error) error {
	var wrong []error
	for _, known := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenRequiredClaimMissing,
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet,
		jwkset.ErrKeyNotFound, context.DeadlineExceeded, context.Canceled,
	} {
		if errors.Is(err, known) {
			wrong = append(wrong, known)
		}
	}
	if len(wrong) == 0 {
		return jwt.ErrTokenInvalidClaims
	}
	return errors.Join(wrong...)
}

func onlyExpired(err error) bool {
	if !errors.Is(err, jwt.ErrTokenExpired) {
		return false
	}
	for _, other := range []error{
		jwt.ErrTokenNotValidYet, jwt.ErrTokenInvalidAudience, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenRequiredClaimMissing,
	} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

func (c claims) identity() (Identity, error) {
	if !schema.ValidUserID(c.Subject) {
		return Identity{}, errors.New("sub is not a user id: 1 to 128 printable ASCII characters without space, quote and backslash")
	}
	if c.Username == "" {
		c.Username = c.Subject[:min(len(c.Subject), maxUsernameRunes)] // ASCII, as the check above says
	}
	if utf8.RuneCountInString(c.Username) > maxUsernameRunes || strings.ContainsFunc(c.Username, unicode.IsControl) {
		return Identity{}, fmt.Errorf("username has more than %d characters, or control characters", maxUsernameRunes)
	}
	if len(c.Avatar) > maxAvatarBytes || strings.ContainsFunc(c.Avatar, unicode.IsControl) {
		return Identity{}, fmt.Errorf("avatar has more than %d bytes, or control characters", maxAvatarBytes)
	}
	return Identity{
		Actor:   schema.Actor{ID: c.Subject, Username: c.Username, Avatar: c.Avatar},
		Roles:   knownRoles(c.Roles),
		Expires: c.ExpiresAt.Time,
	}, nil
}

func knownRoles(names []string) []schema.Role {
	roles := []schema.Role{schema.RoleUser}
	for _, role := range []schema.Role{schema.RoleModerator, schema.RoleAdmin, schema.RoleAuditor, schema.RoleOperator} {
		if slices.Contains(names, string(role)) {
			roles = append(roles, role)
		}
	}
	return roles
}
