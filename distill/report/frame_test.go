package report

import (
	"hash/crc32"
	"testing"
	"time"
)

// CRCs of RFC 3720, B.4, and each turned right by 15 bits with 0xa282ead8 added,
// as a TFRecord has it.
func TestChecksums(t *testing.T) {
	up, down, zeros, ones := make([]byte, 32), make([]byte, 32), make([]byte, 32), make([]byte, 32)
	for i := range 32 {
		up[i], down[31-i], ones[i] = byte(i), byte(i), 0xff
	}
	for _, test := range []struct {
		data        []byte
		crc, masked uint32
	}{
		{zeros, 0x8a9136aa, 0x0fd7fffa},
		{ones, 0x62a8ab43, 0xf909b029},
		{up, 0x46dd794e, 0x951f7892},
		{down, 0x113fdb5c, 0x593b0d57},
	} {
		if crc := crc32.Checksum(test.data, castagnoli); crc != test.crc {
			t.Errorf("the CRC of %x is %#x; want %#x", test.data, crc, test.crc)
		}
		if m := masked(test.data); m != test.masked {
			t.Errorf("the masked CRC of %x is %#x; want %#x", test.data, m, test.masked)
		}
	}
}

// The record is that of TensorBoard's own test of its reader,
// tensorboard/backend/event_processing/event_file_loader_test.py.
func TestRecordOfTensorBoard(t *testing.T) {
	const want = "\x18\x00\x00\x00\x00\x00\x00\x00\xa3\x7fK\"\t\x00\x00\xc0%\xddu\xd5A\x1a\rbrain.Event:1\xec\xf32\x8d"
	got := framed(event(time.Unix(1440183447, 0), 0, fileVersion, []byte("brain.Event:1")))
	if string(got) != want {
		t.Errorf("the record is %q; want %q", got, want)
	}
}
