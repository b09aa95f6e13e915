package replay_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
	"roomlog/schema"
)

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parsed(t *testing.T, text string) *replay.Keys {
	t.Helper()
	keys, err := replay.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// A proof stands by itself: it says what the record says, and another implementation
// comes to the same. Whatever is changed in it, it proves nothing any more.
func TestProofs(t *testing.T) {
	s := newSigned(t)
	var e replay.Evidence
	keys := keysOf(t, s.dir)
	if err := e.ReadCheckpoints(s.dir, nil, keys); err != nil {
		t.Fatal(err)
	}
	live, stranger := map[uint64][]byte{}, parsed(t, strangeKey)
	opened(t, s.dir, func(_ *eventlog.Log, _ *projections.Models, signer *replay.Signer) {
		for _, seq := range []uint64{1, 42, 100} {
			p, err := signer.Prove(t.Context(), seq)
			if err != nil {
				t.Fatal(err)
			}
			live[seq] = p.Marshal()
		}
		if _, err := signer.Prove(t.Context(), 101); err == nil || !strings.Contains(err.Error(), "no record at seq 101 yet") {
			t.Errorf("a record that is not there: %v", err)
		}
	})
	for seq, text := range live {
		log, err := eventlog.OpenFiles(eventlog.Config{Dir: s.dir}, 0)
		if err != nil {
			t.Fatal(err)
		}
		r, err := replay.Verify(t.Context(), log, &e, seq, nil)
		if err != nil || !bytes.Equal(r.Proof.Marshal(), text) {
			t.Fatalf("from the files: %v\n%s\nfrom the read models:\n%s", err, r.Proof.Marshal(), text)
		}
		log.Close()
		p, err := replay.ParseProof(text)
		if err != nil {
			t.Fatal(err)
		}
		record, c, err := p.Check(keys)
		if err != nil || record.Seq != seq || string(record.Data) != fmt.Sprintf(`{"content":"number %03d"}`, seq) || c.Size != 100 {
			t.Errorf("record %+v by %+v, %v", record, c, err)
		}
		hashes := make([][]byte, len(p.Hashes))
		for i := range hashes {
			hashes[i] = p.Hashes[i][:]
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, rfc6962.DefaultHasher.HashLeaf(p.Leaf), hashes, c.Root[:]); err != nil {
			t.Errorf("the other implementation: %v", err)
		}
		if _, _, err := p.Check(stranger); err == nil {
			t.Error("another log's key proves it")
		}
		for i := range text {
			changed := bytes.Clone(text)
			if changed[i] ^= 4; changed[i] == '\n' || text[i] == '\n' {
				continue
			}
			if p, err := replay.ParseProof(changed); err == nil {
				if got, _, err := p.Check(keys); err == nil && (got.Seq != seq || !bytes.Equal(got.Leaf(), record.Leaf())) {
					t.Fatalf("with byte %d changed it proves %+v", i, got)
				}
			}
		}
	}
}

// Who trusts an old key trusts the new one once they see the checkpoint that hands over,
// and no other key; whatever ran in between.
func TestRotateKey(t *testing.T) {
	s := newSigned(t)
	first := string(read(t, s.dir, "log.pub"))
	opened(t, s.dir, func(log *eventlog.Log, models *projections.Models, signer *replay.Signer) {
		writePost(t, log, 100)
		if err := models.WaitApplied(t.Context(), 101); err != nil {
			t.Fatal(err)
		}
		c, err := signer.Rotate(t.Context())
		if err != nil || c.Size != 101 || c.NextKey != signer.Key() || strings.Contains(first, signer.Key()) || bytes.Count(c.Note, []byte("\n— ")) != 2 {
			t.Fatalf("handed over by\n%s%v", c.Note, err)
		}
	})
	stopped, err := replay.OpenSigner(replay.SignerConfig{Dir: s.dir}) // again, with the log closed
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stopped.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var newest []byte
	opened(t, s.dir, func(log *eventlog.Log, models *projections.Models, signer *replay.Signer) {
		if signer.Key() != stopped.Key() {
			t.Errorf("%s signs, want %s", signer.Key(), stopped.Key())
		}
		writePost(t, log, 101)
		if err := models.WaitApplied(t.Context(), 102); err != nil {
			t.Fatal(err)
		}
		c, err := signer.Sign(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		newest = c.Note
		noted := 0
		err = replay.Auditor{Log: log, Models: models}.Inspect(t.Context(), replay.AdminFilter{Kind: schema.AuditCheckpoint}, func(entries []schema.AuditEntry) error {
			noted += len(entries)
			return nil
		})
		if err != nil || noted < 6 { // the newest may not be stored yet
			t.Errorf("%d checkpoints in the admin stream, %v", noted, err)
		}
	})
	if got := strings.Count(string(read(t, s.dir, "log.pub")), "\n"); got != 3 {
		t.Errorf("%d verifier keys are kept", got)
	}
	if _, err := parsed(t, first).Open(newest); err == nil {
		t.Error("the old key alone opens what the new one signed")
	}
	old := parsed(t, first)
	var e replay.Evidence
	if err := e.ReadCheckpoints(s.dir, nil, old); err != nil || len(e.Findings) != 0 {
		t.Errorf("by the first key: %v, %v", e.Findings, err)
	}
	if c, err := old.Open(newest); err != nil || c.Size != 102 {
		t.Errorf("after the handover: %+v, %v", c, err)
	}
	// A key that somebody puts into the text is not signed for.
	forged := bytes.Replace(newest, []byte("\n\n"), []byte("\nnext-key "+strangeKey+"\n\n"), 1)
	if _, err := old.Open(forged); err == nil {
		t.Error("a checkpoint with a key put into it is taken")
	}
}

// strangeKey is the verifier key in the documentation of package note.
const strangeKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

// A signer signs nothing over a log that does not go on from what it signed before; and
// a log that is shorter, or another one, is known before anything is served from it.
func TestSignerRefusesAnotherHistory(t *testing.T) {
	s, other := newSigned(t), newSigned(t)
	for _, name := range []string{"checkpoint", "checkpoints", "log.key", "log.pub"} {
		if err := os.WriteFile(filepath.Join(other.dir, name), read(t, s.dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var loss *projections.Loss
	opened(t, other.dir, func(log *eventlog.Log, models *projections.Models, signer *replay.Signer) {
		if err := models.WaitApplied(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if err := replay.CheckLoss(other.dir, log); !errors.As(err, &loss) || !strings.Contains(err.Error(), "epoch") {
			t.Errorf("another log: %v", err)
		}
		if c, err := signer.Sign(t.Context()); !errors.As(err, &loss) || !strings.Contains(err.Error(), "others than those") {
			t.Errorf("signed %+v, %v", c, err)
		}
		if err := replay.SetAside(other.dir); err != nil {
			t.Fatal(err)
		}
		if err := replay.CheckLoss(other.dir, log); err != nil {
			t.Errorf("set aside: %v", err)
		}
	})
	replaceTree(t, filepath.Join(s.backup, "jetstream"), filepath.Join(s.dir, "jetstream"))
	if err := os.Remove(filepath.Join(s.dir, "models.db")); err != nil {
		t.Fatal(err)
	}
	opened(t, s.dir, func(log *eventlog.Log, _ *projections.Models, _ *replay.Signer) {
		if err := replay.CheckLoss(s.dir, log); !errors.As(err, &loss) || loss.Applied != 100 || loss.Durable != 60 {
			t.Errorf("an old backup: %v", err)
		}
	})
}
