package main

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// tamper takes one key of one read model away.
func tamper(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		return deleteOne(tx.Bucket([]byte("likes")))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// deleteOne deletes the first value in b or below it.
func deleteOne(b *bbolt.Bucket) error {
	key, value := b.Cursor().First()
	if value == nil {
		return deleteOne(b.Bucket(key))
	}
	return b.Delete(key)
}

func pid(s *serverProcess) string { return strconv.Itoa(s.cmd.Process.Pid) }

// subject reads whom a token is for.
func subject(t *testing.T, token string) string {
	t.Helper()
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(strings.TrimSpace(token), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Sub string }
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Sub
}
