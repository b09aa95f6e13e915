package projections

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"
)

// Digest stands for the whole content of the read models at one position. Equal
// content has equal digests, on any node and after any rebuild.
type Digest struct {
	Epoch       string            `json:"epoch"`
	Seq         uint64            `json:"seq"`
	Total       string            `json:"total"`       // hex SHA-256 over the projections' digests
	Projections map[string]string `json:"projections"` // by name, hex SHA-256 of the content
}

// Digest reads all read models in one transaction, at some hundred megabytes a
// second. Writing goes on meanwhile.
func (m *Models) Digest(ctx context.Context) (Digest, error) {
	tx, err := m.read()
	if err != nil {
		return Digest{}, fmt.Errorf("reading the read models: %w", err)
	}
	defer tx.Rollback()
	var reading errgroup.Group
	reading.Go(func() error { readAhead(ctx, m.cfg.Path); return nil })
	d, err := digest(ctx, tx)
	reading.Wait()
	if errors.Is(err, errDamaged) {
		err = m.condemn(tx.DB(), err)
	}
	return d, err
}

// digest hashes each projector's tables by name, and each table's rows in key
// order. Names, keys and values go in with their length before them, so that no
// two contents give the same bytes. What bbolt makes of them on disk, and which
// rows were ever deleted, does not matter.
func digest(ctx context.Context, tx *bolt.Tx) (d Digest, err error) {
	err = reading(func() error {
		d, err = digestIn(ctx, tx)
		return err
	})
	return d, err
}

func digestIn(ctx context.Context, tx *bolt.Tx) (Digest, error) {
	at, err := readCheckpoint(tx)
	if err != nil {
		return Digest{}, err
	}
	d := Digest{Epoch: at.Epoch, Seq: at.Seq, Projections: map[string]string{}}
	total := content{Hash: sha256.New()}
	for _, projector := range slices.Sorted(maps.Keys(versions)) {
		sum := content{Hash: sha256.New()}
		top := tx.Bucket([]byte(projector))
		err := top.ForEachBucket(func(table []byte) error {
			sum.add(table)
			return sum.rows(ctx, top.Bucket(table))
		})
		if err != nil {
			return Digest{}, err
		}
		digest := sum.Sum(nil)
		d.Projections[projector] = hex.EncodeToString(digest)
		total.add([]byte(projector))
		total.add(digest)
	}
	d.Total = hex.EncodeToString(total.Sum(nil))
	return d, nil
}

// content is a hash over byte strings of any length.
type content struct {
	hash.Hash
	buf []byte
}

// hashBlock is how much is gathered before it is hashed: rows are much smaller
// than what SHA-256 does best.
const hashBlock = 32 << 10

func (c *content) add(b []byte) {
	c.buf = binary.AppendUvarint(c.buf, uint64(len(b)))
	c.buf = append(c.buf, b...)
	if len(c.buf) > hashBlock {
		c.Write(c.buf)
		c.buf = c.buf[:0]
	}
}

// rows adds a table. Its end is told from a next row by the count behind it.
func (c *content) rows(ctx context.Context, table *bolt.Bucket) error {
	var n uint64
	cursor := table.Cursor()
	for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
		c.add(k)
		c.add(v)
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	c.buf = binary.BigEndian.AppendUint64(c.buf, n)
	return nil
}

func (c *content) Sum(b []byte) []byte {
	c.Write(c.buf)
	c.buf = c.buf[:0]
	return c.Hash.Sum(b)
}
