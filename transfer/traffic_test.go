package transfer

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestTrafficAgreesWithTheSums: what is counted live is what the job's sums say in the end, attempts that failed included; a
// second pass settles the same objects and writes nothing.
func TestTrafficAgreesWithTheSums(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	for i := range 60 {
		src.set(fmt.Sprintf("k%03d", i), bytes.Repeat([]byte{byte(i)}, 1000*i))
	}
	src.set("large", bytes.Repeat([]byte("x"), 40<<20))
	dst.fail(memFault{op: "put", times: 3, err: memErr("put", "k", store.Transient, "planned")})
	b := newBench(t, src, dst)
	b.job.Traffic = &Traffic{}
	b.n.Tuning.MultipartMin = 16 << 20
	b.pass()
	b.equal(src, dst)
	moved := b.job.Traffic
	if n := moved.BytesWritten.Load(); n != b.totals.BytesMoved || n < 40<<20 || n != b.n.Meter.BytesWritten.Load() {
		t.Errorf("%d bytes written, the sums say %d, the meter %d", n, b.totals.BytesMoved, b.n.Meter.BytesWritten.Load())
	}
	if n := moved.BytesRead.Load(); n != b.n.Meter.BytesRead.Load() || n < 40<<20 {
		t.Errorf("%d bytes read, the meter says %d", n, b.n.Meter.BytesRead.Load())
	}
	if n := moved.Objects.Load(); n != b.totals.Copied || n != 61 {
		t.Errorf("%d objects, %d were copied", n, b.totals.Copied)
	}
	written := moved.BytesWritten.Load()
	b.again()
	b.pass()
	if n := moved.Objects.Load(); n != 122 || moved.BytesWritten.Load() != written {
		t.Errorf("after another pass %d objects, %d bytes written", n, moved.BytesWritten.Load()-written)
	}
}

// TestTrafficOfVerify: both sides are read, and told apart.
func TestTrafficOfVerify(t *testing.T) {
	src, dst := newMemDisk(), newMemDisk() // which report no sums
	src.set("a", make([]byte, 5000))
	dst.set("a", make([]byte, 5000))
	b := newBench(t, src, dst)
	b.job.Type, b.job.Compare, b.job.Traffic = "verify", "checksum", &Traffic{}
	b.pass()
	read, back := b.job.Traffic.BytesRead.Load(), b.job.Traffic.ReadBack.Load()
	if read != 5000 || back != 5000 || b.job.Traffic.BytesWritten.Load() != 0 || b.job.Traffic.Objects.Load() != 1 {
		t.Errorf("%d bytes of the source, %d of the destination, %d objects", read, back, b.job.Traffic.Objects.Load())
	}
}
