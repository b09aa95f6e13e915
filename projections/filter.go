package projections

// filter knows which keys a table's file may have: it says no only of a key that was
// never added. Most of what projectors ask for is not there (is it a retry? did they
// like it before?), and finding that out in the file costs twenty times as much.
//
// It is a Bloom filter in blocks of a cache line each (Putze, Sanders and Singler,
// "Cache-, Hash- and Space-Efficient Bloom Filters", 2007): a key sets filterBits bits
// of one block. It grows by layers, each eight times as large as the one before.
type filter struct {
	layers []layer
}

type layer struct {
	blocks [][8]uint64
	room   int // keys that it still takes
}

const (
	filterBits   = 6
	filterDense  = 12      // bits a key: one in a hundred is taken for present that is not
	filterFirst  = 1 << 12 // blocks of the first layer, 256 KiB
	filterLayers = 4       // 256 KiB to 128 MiB, for 100 million keys
)

// add adds the hash of a key; false: the filter is full and must not be asked any more.
func (f *filter) add(h uint64) bool {
	n := len(f.layers)
	if n == 0 || f.layers[n-1].room == 0 {
		if n == filterLayers {
			return false
		}
		blocks := filterFirst << (3 * n)
		f.layers = append(f.layers, layer{make([][8]uint64, blocks), blocks * 512 / filterDense})
	}
	l := &f.layers[len(f.layers)-1]
	block := l.block(h)
	for range filterBits {
		h *= filterMix
		block[h>>61] |= 1 << (h >> 55 & 63)
	}
	l.room--
	return true
}

// empty reports whether nothing was added.
func (f *filter) empty() bool { return len(f.layers) == 0 }

// has reports whether a key with that hash may have been added.
func (f *filter) has(h uint64) bool {
	for i := range f.layers {
		if f.layers[i].has(h) {
			return true
		}
	}
	return false
}

// filterMix spreads a hash anew for each bit: the 64 bits of the golden ratio.
const filterMix = 0x9E3779B97F4A7C15

func (l *layer) has(h uint64) bool {
	block := l.block(h)
	for range filterBits {
		h *= filterMix
		if block[h>>61]&(1<<(h>>55&63)) == 0 {
			return false
		}
	}
	return true
}

func (l *layer) block(h uint64) *[8]uint64 {
	return &l.blocks[(h>>32)*uint64(len(l.blocks))>>32]
}
