package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roomlog/realtime/client"
)

// With a certificate the server speaks wss, and says so.
func TestTLS(t *testing.T) {
	cert, key, roots := certificate(t)
	s := serve(t, t.TempDir(), "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(s.url, "wss://127.0.0.1:") {
		t.Fatalf("it is ready at %s", s.url)
	}
	c := s.dial("alice", client.Options{TLS: &tls.Config{RootCAs: roots}})
	if c.Connected().User.ID != "alice" {
		t.Errorf("connected as %+v", c.Connected())
	}
}

// With configured tokens it may listen where others can connect.
func TestListenForOthers(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("secret ", 7)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, t.TempDir(), "--listen", "0.0.0.0:0", "--auth-secret-file", secret)
	if _, err := os.Stat(filepath.Join(s.dir, secretName)); err == nil {
		t.Error("it made a secret besides the one that is configured")
	}
	_, port, err := net.SplitHostPort(s.address())
	if err != nil {
		t.Fatal(err)
	}
	r := roomlogWith(t, nil, "socket:ping\n", "connect", "--as", "alice", "--auth-secret-file", secret, "--server", "ws://127.0.0.1:"+port+"/ws")
	if r.code != 0 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

// certificate makes one for 127.0.0.1.
func certificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "roomlog test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", private), roots
}
