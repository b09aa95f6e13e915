package replay

import (
	"bytes"
	"testing"
)

const aCheckpoint = "roomlog-x\n3\nnNjLoH8SVklFhiPBhWB6Bfs5MrhuiogIFpMI1jDnXFQ=\nepoch e\nsigned 2026-11-28T21:38:21.177Z\n\n— roomlog-x NVS+2YkHmFSInDiUrt70/Zgq2cJSZjywXb538ztyYHodmxAgDtEii2iIadMbVfFTuUYs7pT2ASWUWttiTErkeVllxQU=\n"

// What is read as a proof is written as it was read; nothing else is taken.
func FuzzParseProof(f *testing.F) {
	f.Add([]byte(proofHeader + "\nextra AAAA\nindex 2\nnNjLoH8SVklFhiPBhWB6Bfs5MrhuiogIFpMI1jDnXFQ=\n\n" + aCheckpoint))
	f.Add([]byte(proofHeader + "\nindex 2\n\n"))
	keys, err := ParseKeys("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProof(text)
		if err != nil {
			return
		}
		again, err := ParseProof(p.Marshal())
		if err != nil || !bytes.Equal(again.Marshal(), p.Marshal()) {
			t.Errorf("%q is read as %q, %v", text, p.Marshal(), err)
		}
		if _, _, err := p.Check(keys); err == nil {
			t.Errorf("%q is proven by a key that signed nothing", text)
		}
	})
}

// Whatever a file of checkpoints holds, no byte of it but empty lines is passed over,
// and what is read of one stays.
func FuzzCheckpoints(f *testing.F) {
	f.Add([]byte(aCheckpoint + "\n" + aCheckpoint))
	f.Add([]byte("\n\n— x\n\n\ny"))
	f.Fuzz(func(t *testing.T, file []byte) {
		var all []byte
		for _, note := range splitNotes(file) {
			all = append(all, note...)
			c, err := parseCheckpoint(note)
			if err != nil || c.Time == 0 || c.Epoch == "" {
				continue
			}
			again, err := parseCheckpoint([]byte(c.text() + "\n"))
			if err != nil || again.Size != c.Size || again.Root != c.Root || again.Epoch != c.Epoch || again.NextKey != c.NextKey {
				t.Errorf("%+v is read again as %+v, %v", c, again, err)
			}
		}
		strip := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), nil) }
		if !bytes.Equal(strip(all), strip(file)) {
			t.Errorf("of %q only %q is looked at", file, all)
		}
	})
}
