package scheduler

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// maxManifestText bounds what a manifest may unpack to: some 800,000 segments.
const maxManifestText = 64 << 20

// EncodeManifest packs the names of segments as the lines "hex TAB lines" of a new segment. No segment may itself be a
// manifest.
func EncodeManifest(segments []fsm.Segment) ([]byte, error) {
	var text bytes.Buffer
	for _, s := range segments {
		if s.Manifest {
			return nil, fmt.Errorf("encode manifest: segment %x is a manifest itself", s.Name)
		}
		fmt.Fprintf(&text, "%x\t%d\n", s.Name, s.Lines)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	defer enc.Close()
	data := enc.EncodeAll(text.Bytes(), nil)
	if len(data) > transfer.MaxSegment {
		return nil, fmt.Errorf("encode manifest of %d segments: %d bytes, more than a segment may have", len(segments), len(data))
	}
	return data, nil
}

// DecodeManifest reads what EncodeManifest made.
func DecodeManifest(data []byte) ([]fsm.Segment, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxManifestText))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	defer dec.Close()
	text, err := dec.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack manifest: %w", err)
	}
	var segments []fsm.Segment
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		s, err := manifestLine(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("manifest line %d: %w", len(segments)+1, err)
		}
		segments = append(segments, s)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return segments, nil
}

// readManifest fetches and reads a manifest.
func readManifest(ctx context.Context, spool transfer.Spool, seg fsm.Segment) ([]fsm.Segment, error) {
	name, err := segmentOf(seg)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	data, err := spool.Get(ctx, name.Name)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return DecodeManifest(data)
}

func manifestLine(line string) (fsm.Segment, error) {
	name, count, ok := strings.Cut(line, "\t")
	if !ok {
		return fsm.Segment{}, fmt.Errorf("no TAB")
	}
	raw, err := hex.DecodeString(name)
	if err != nil || len(raw) != 32 {
		return fsm.Segment{}, fmt.Errorf("bad segment name %q", name)
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 0 {
		return fsm.Segment{}, fmt.Errorf("bad number of lines %q", count)
	}
	return fsm.Segment{Name: raw, Lines: n}, nil
}
