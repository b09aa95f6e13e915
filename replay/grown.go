package replay

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"roomlog/projections"
)

// grown is the log's tree as it grows leaf by leaf in memory: for who makes it from the
// log alone. It holds the hash of each complete tile of 256 leaves, and the leaves of
// those tiles that are asked for: 32 MB for 256 million records.
type grown struct {
	size  uint64
	open  []tlog.Hash            // leaves of the tile that is not complete
	tiles []tlog.Hash            // of the others
	kept  map[uint64][]tlog.Hash // the leaves of some of these
}

const (
	tileHeight = 8
	tileSize   = 1 << tileHeight
)

// keep has the leaves kept that lie in one tile with the one at a place.
func (g *grown) keep(seq uint64) {
	if g.kept == nil {
		g.kept = map[uint64][]tlog.Hash{}
	}
	g.kept[(seq-1)/tileSize] = nil
}

func (g *grown) add(leaf tlog.Hash) {
	g.size++
	if g.open = append(g.open, leaf); len(g.open) < tileSize {
		return
	}
	tile := uint64(len(g.tiles))
	if _, wanted := g.kept[tile]; wanted {
		g.kept[tile] = slices.Clone(g.open)
	}
	g.tiles = append(g.tiles, projections.SubtreeHash(g.open))
	g.open = g.open[:0]
}

// root returns the root of all leaves so far.
func (g *grown) root() (tlog.Hash, error) { return tlog.TreeHash(int64(g.size), g) }

// ReadHashes makes it a tlog.HashReader.
func (g *grown) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		from, first := g.tiles, uint64(n)<<max(level-tileHeight, 0)
		if level < tileHeight {
			tile := uint64(n) << level / tileSize
			first = uint64(n) << level % tileSize
			if from = g.open; tile < uint64(len(g.tiles)) {
				from = g.kept[tile]
			}
		} else {
			level -= tileHeight
		}
		end := first + 1<<level
		if end > uint64(len(from)) {
			return nil, fmt.Errorf("the leaves of node %d at level %d were not kept", n, level)
		}
		hashes[i] = projections.SubtreeHash(slices.Clone(from[first:end]))
	}
	return hashes, nil
}
