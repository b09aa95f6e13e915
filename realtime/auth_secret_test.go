package realtime_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roomlog/realtime"
)

func TestNewSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "auth.secret")
	made, err := realtime.NewSecretFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	read, err := realtime.ReadSecretFile(path)
	if err != nil || !bytes.Equal(made, read) || len(read) < realtime.MinSecretBytes {
		t.Errorf("made %q, read %q (%v)", made, read, err)
	}
	if _, err := realtime.NewSecretFile(path); err == nil {
		t.Error("a second secret replaced the first: every token out there is void")
	}
	if _, err := realtime.NewSecretFile(filepath.Join(t.TempDir(), "none", "auth.secret")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that does not exist: %v", err)
	}
	other, err := realtime.NewSecretFile(filepath.Join(t.TempDir(), "auth.secret"))
	if err != nil || bytes.Equal(made, other) {
		t.Errorf("two secrets are equal (%v)", err)
	}
}

func TestSecretFileWithNewline(t *testing.T) {
	for _, end := range []string{"", "\n", "\r\n"} {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, append(bytes.Clone(authSecret), end...), 0o600); err != nil {
			t.Fatal(err)
		}
		a := newAuth(t, realtime.AuthConfig{SecretFile: path})
		if _, err := a.Verify(t.Context(), tokenSpec{}.sign(t)); err != nil {
			t.Errorf("end %q: %v", end, err)
		}
	}
}

func TestSecretReadableByOthersIsWarnedOf(t *testing.T) {
	for mode, warns := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o644: true, 0o604: true} {
		path := filepath.Join(t.TempDir(), "s")
		if err := errors.Join(os.WriteFile(path, authSecret, 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		newAuth(t, realtime.AuthConfig{SecretFile: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if strings.Contains(log.String(), "chmod 600") != warns {
			t.Errorf("of a file with mode %v the log says %q", mode, log.String())
		}
	}
}

// Every mistake in the configuration is one sentence that names its object, and no
// secret.
func TestAuthThatCannotStart(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusGone) // with the keys that it had
		w.Write(keySetOf("rsa"))
	}))
	defer gone.Close()
	for _, c := range []struct {
		name string
		cfg  realtime.AuthConfig
		says string
	}{
		{"nothing configured", realtime.AuthConfig{}, "give a secret file"},
		{"secret and file", realtime.AuthConfig{Secret: authSecret, SecretFile: "x"}, "not both"},
		{"secret missing", realtime.AuthConfig{SecretFile: filepath.Join(dir, "no.secret")}, "does not exist"},
		{"secret empty", realtime.AuthConfig{SecretFile: write("empty", nil)}, "0 bytes is too short"},
		{"secret short", realtime.AuthConfig{SecretFile: write("short", append(authSecret[:31:31], '\n'))}, "31 bytes is too short"},
		{"secret short, given", realtime.AuthConfig{Secret: authSecret[:31]}, "31 bytes is too short"},
		{"secret is a folder", realtime.AuthConfig{SecretFile: dir}, "is not a file"},
		{"secret beneath a file", realtime.AuthConfig{SecretFile: filepath.Join(write("file", authSecret), "s")}, "not a directory"},
		{"secret too large", realtime.AuthConfig{SecretFile: write("large.secret", make([]byte, 64<<10+1))}, "is not a file of at most 64 KiB"},
		{"secret is a device", realtime.AuthConfig{SecretFile: "/dev/zero"}, "is not a file"},
		{"JWKS missing", realtime.AuthConfig{JWKS: filepath.Join(dir, "no.json")}, "no such file"},
		{"JWKS not JSON", realtime.AuthConfig{JWKS: write("text", []byte("hello"))}, "not a JSON Web Key Set"},
		{"JWKS empty", realtime.AuthConfig{JWKS: write("none", []byte(`{"keys":[]}`))}, "holds no key"},
		{"JWKS with a secret only", realtime.AuthConfig{JWKS: write("oct", keySetOf("oct"))}, "holds no key"},
		{"JWKS with useless keys only", realtime.AuthConfig{JWKS: write("useless", keySetOf("rsa-short", "ec-384"))}, "holds no key"},
		{"JWKS too large", realtime.AuthConfig{JWKS: write("large", make([]byte, 1<<20+1))}, "larger than"},
		{"JWKS with a key for encryption only", realtime.AuthConfig{JWKS: write("enc", keySetOf("rsa-enc"))}, "holds no key"},
		{"JWKS unreachable", realtime.AuthConfig{JWKS: "http://roomlog:hunter2@127.0.0.1:1/keys?token=hunter2"}, "the JWKS http://127.0.0.1:1/keys cannot be used: dial"},
		{"JWKS behind no URL", realtime.AuthConfig{JWKS: "http://roomlog:hunter2@[::1/keys"}, "the JWKS (no URL) cannot be used: missing ']'"},
		{"JWKS with an error", realtime.AuthConfig{JWKS: gone.URL}, "HTTP status 410 Gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := realtime.NewAuth(t.Context(), c.cfg)
			if err == nil {
				a.Close()
				t.Fatal("no error")
			}
			if s := err.Error(); !strings.Contains(s, c.says) || strings.Contains(s, "\n") || strings.Contains(s, "hunter2") {
				t.Errorf("error %q, want one line with %q", s, c.says)
			}
		})
	}
}
