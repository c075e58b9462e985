package cookie

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"unsafe"
)

// Two MACs are computed for each request. The standard library's HMAC allocates in every Sum where
// TinyGo compiles it, so HMAC's two passes (RFC 2104) are made here, over the library's SHA-256: from
// the state behind the key's block, through our own padding, to the state that is the digest. That
// state is read and set where the library keeps it. newMACKey holds each key's result against
// crypto/hmac, so a library that keeps it elsewhere is an error at start, and no MAC is ever wrong.

const blockSize = sha256.BlockSize

var errHash = errors.New("SHA-256 keeps its state where we do not know")

// chain is SHA-256's state between two blocks.
type chain [sha256.Size / 4]uint32

// hasher is the library's SHA-256 and room for its padding.
type hasher struct {
	hash  hash.Hash
	state *chain // in place
	pad   [blockSize + 8]byte
}

func newHasher() *hasher {
	h := &hasher{hash: sha256.New()}
	// An interface is two words, the second points to the value, and the value begins with its state.
	h.state = (*chain)((*[2]unsafe.Pointer)(unsafe.Pointer(&h.hash))[1])
	h.pad[0] = 0x80
	return h
}

// start continues from the state behind one block.
func (h *hasher) start(state *chain) {
	h.hash.Reset()
	*h.state = *state
}

// finish pads a message of size bytes (FIPS 180-4, section 5.1.1) and writes its digest to out.
func (h *hasher) finish(size int, out *[sha256.Size]byte) {
	n := blockSize - (size+8)%blockSize
	binary.BigEndian.PutUint64(h.pad[n:], uint64(size)*8)
	h.hash.Write(h.pad[:n+8])
	clear(h.pad[n : n+8])
	for i, word := range h.state {
		binary.BigEndian.PutUint32(out[4*i:], word)
	}
}

// macKey is a key of HMAC-SHA256, at most a block long, as the states behind its two blocks.
type macKey struct{ inner, outer chain }

func newMACKey(key []byte) (*macKey, error) {
	k := &macKey{keyState(key, 0x36), keyState(key, 0x5c)}
	const probe = "what crypto/hmac says to this text of more than one block is what we say to it too"
	want := hmac.New(sha256.New, key)
	want.Write(raw(probe))
	var got [sha256.Size]byte
	if k.sum(newHasher(), "", raw(probe), &got); !hmac.Equal(got[:], want.Sum(nil)) {
		return nil, errHash
	}
	return k, nil
}

func keyState(key []byte, filler byte) chain {
	var block [blockSize]byte
	copy(block[:], key)
	for i := range block {
		block[i] ^= filler
	}
	h := newHasher()
	h.hash.Write(block[:])
	return *h.state
}

// sum computes the MAC of prefix and message.
func (k *macKey) sum(h *hasher, prefix string, message []byte, out *[sha256.Size]byte) {
	h.start(&k.inner)
	h.hash.Write(raw(prefix))
	h.hash.Write(message)
	h.finish(blockSize+len(prefix)+len(message), out)
	h.start(&k.outer)
	h.hash.Write(out[:])
	h.finish(blockSize+sha256.Size, out)
}

// mac computes HMAC-SHA256 over prefix and message into the codec's own buffer.
func (c *Codec) mac(k *macKey, prefix string, message []byte) []byte {
	k.sum(c.hasher, prefix, message, &c.sum)
	return c.sum[:]
}
