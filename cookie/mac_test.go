package cookie

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"testing"
)

func newTestMACKey(t testing.TB, key []byte) *macKey {
	t.Helper()
	k, err := newMACKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Every length around the edges of blocks, cut everywhere between prefix and message.
func TestMACIsHMACSHA256(t *testing.T) {
	key, message := make([]byte, 32), make([]byte, 4*blockSize)
	_, _ = rand.Read(key)
	_, _ = rand.Read(message)
	k, h := newTestMACKey(t, key), newHasher()
	var got [sha256.Size]byte
	for size := range len(message) + 1 {
		want := hmac.New(sha256.New, key)
		want.Write(message[:size])
		sum := want.Sum(nil)
		for cut := range size + 1 {
			if k.sum(h, string(message[:cut]), message[cut:size], &got); !bytes.Equal(got[:], sum) {
				t.Fatalf("prefix of %d and message of %d bytes: got %x, want %x", cut, size-cut, got, sum)
			}
		}
	}
}

// FuzzMAC: any key up to a block and any message sum up to what the standard library says.
func FuzzMAC(f *testing.F) {
	f.Add([]byte("key"), "1s.k1.", []byte("message"))
	f.Fuzz(func(t *testing.T, key []byte, prefix string, message []byte) {
		key = key[:min(len(key), blockSize)]
		want := hmac.New(sha256.New, key)
		want.Write([]byte(prefix))
		want.Write(message)
		var got [sha256.Size]byte
		if newTestMACKey(t, key).sum(newHasher(), prefix, message, &got); !hmac.Equal(got[:], want.Sum(nil)) {
			t.Errorf("got %x, want %x", got, want.Sum(nil))
		}
	})
}
