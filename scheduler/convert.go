package scheduler

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// Commands and states keep keys as bytes, with nil for an absent bound; package transfer has strings and "".

func bound(key string) []byte {
	if key == "" {
		return nil
	}
	return []byte(key)
}

// taskOf makes the engine's form of a granted task.
func taskOf(t *fsm.Task) (transfer.Task, error) {
	task := transfer.Task{
		ID: t.ID, Epoch: t.Epoch, Kind: transfer.Kind(t.Kind), From: string(t.From), To: string(t.To),
		Line: t.Line, EndLine: t.EndLine, Retry: t.Retry, Takeover: t.Grants > 1,
	}
	if t.Segment != nil {
		seg, err := segmentOf(*t.Segment)
		if err != nil {
			return transfer.Task{}, err
		}
		task.Segment = seg
	}
	for _, u := range t.Uploads {
		task.Uploads = append(task.Uploads, uploadOf(u))
	}
	if p := t.Parts; p != nil {
		task.Parts = &transfer.PartsOf{Key: string(p.Key), UploadID: p.ID, Version: p.Version, PartSize: p.Part, Size: p.Size}
	}
	return task, nil
}

func segmentOf(s fsm.Segment) (transfer.Segment, error) {
	seg := transfer.Segment{Lines: s.Lines}
	if len(s.Name) != len(seg.Name) {
		return seg, fmt.Errorf("segment name of %d bytes, not %d", len(s.Name), len(seg.Name))
	}
	copy(seg.Name[:], s.Name)
	return seg, nil
}

func segmentFrom(s *transfer.Segment) *fsm.Segment {
	if s == nil {
		return nil
	}
	return &fsm.Segment{Name: append([]byte(nil), s.Name[:]...), Lines: s.Lines}
}

func uploadOf(u *fsm.Upload) transfer.Upload {
	up := transfer.Upload{Key: string(u.Key), Known: u.Known, ID: u.ID, Version: u.Version, PartSize: u.Part}
	if u.Planned != 0 {
		up.Planned = time.Unix(0, u.Planned)
	}
	for _, sh := range u.Shares {
		up.Shares = append(up.Shares, shareOf(ShareView{Share: sh}))
	}
	return up
}

// advanceFrom makes the command that settles what a task did; the leader stamps its time.
func advanceFrom(held fsm.TaskEpoch, a transfer.Advance) fsm.AdvanceTask {
	cmd := fsm.AdvanceTask{
		Task: held.Task, Epoch: held.Epoch, From: bound(a.From), To: bound(a.To), FromLine: a.FromLine, ToLine: a.ToLine,
		Done: a.Done, Counts: countsFrom(a.Counts), Objects: a.Objects, Bytes: a.Bytes, Digest: a.Digest.Bytes(),
		Classes: a.Classes, Failed: segmentFrom(a.Failed), Audit: segmentFrom(a.Audit),
		Parts: resultFrom(a.Parts),
	}
	for _, c := range a.Cuts {
		cmd.Cuts = append(cmd.Cuts, fsm.NewCut{
			From: bound(c.From), To: bound(c.To), Segment: segmentFrom(c.Segment),
			Objects: c.Objects, Bytes: c.Bytes, Digest: c.Digest.Bytes(),
		})
	}
	return cmd
}

// countsFrom names every field, so that a new one in either type is not lost in silence: the tests compare both.
func countsFrom(c transfer.Counts) fsm.Counts {
	return fsm.Counts{
		Listed: c.Listed, Copied: c.Copied, Skipped: c.Skipped, Filtered: c.Filtered, Vanished: c.Vanished,
		Changed: c.Changed, Failed: c.Failed, Recovered: c.Recovered, Verified: c.Verified, Extra: c.Extra,
		Deleted: c.Deleted, Lossy: c.Lossy, BytesListed: c.BytesListed, BytesFound: c.BytesFound, BytesCopied: c.BytesCopied,
		BytesSkipped: c.BytesSkipped, BytesMoved: c.BytesMoved,
	}
}

// stampPass writes into an opened job what belongs to the pass and is known only once the pass began.
func stampPass(opened *transfer.Job, j *fsm.Job) {
	opened.ID, opened.Nonce, opened.Type = j.ID, hex.EncodeToString(j.Nonce), j.Type
	opened.Pass = j.Pass
	opened.PassStart, opened.PrevStart = timeOf(j.PassClock), timeOf(j.PrevStart)
	opened.Skew = time.Duration(j.SkewNanos)
}

func timeOf(unixNano int64) time.Time {
	if unixNano == 0 {
		return time.Time{}
	}
	return time.Unix(0, unixNano)
}
