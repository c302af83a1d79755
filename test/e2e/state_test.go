package e2e_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/bucketbrigade/brigade/fsm"
)

// stateBytes replays the log that a run left and returns how large the replicated state was, encoded: at the end, and
// at most.
func stateBytes(t *testing.T, state string) (last, most int) {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(state, "jobs", "*", "raft"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("want the state of one job in %s: %v %v", state, folders, err)
	}
	m := fsm.NewMachine()
	restoreNewest(t, m, filepath.Join(folders[0], "snapshots"))
	size := func() int {
		var b bytes.Buffer
		if err := m.Snapshot()(&b); err != nil {
			t.Fatalf("encode state: %v", err)
		}
		return b.Len()
	}
	var applied uint64
	m.Read(func(s *fsm.State) { applied = s.Index() })
	log, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(folders[0], "raft.db"), MsgpackUseNewTimeFormat: true})
	if err != nil {
		t.Fatalf("open log: %v", err)
	}
	defer log.Close()
	first, err1 := log.FirstIndex()
	end, err2 := log.LastIndex()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatalf("read log: %v", err)
	}
	for i := max(first, applied+1); i <= end; i++ {
		var entry raft.Log
		if err := log.GetLog(i, &entry); err != nil {
			t.Fatalf("read log entry %d: %v", i, err)
		}
		if entry.Type == raft.LogCommand {
			m.Apply(i, entry.Data)
			most = max(most, size())
		}
	}
	return size(), most
}

// restoreNewest loads the newest snapshot, if one was taken.
func restoreNewest(t *testing.T, m *fsm.Machine, dir string) {
	t.Helper()
	taken, err := filepath.Glob(filepath.Join(dir, "*", "state.bin"))
	if err != nil || len(taken) == 0 {
		return
	}
	f, err := os.Open(slices.MaxFunc(taken, compareAge))
	if err != nil {
		t.Fatalf("open snapshot: %v", err)
	}
	defer f.Close()
	if err := m.Restore(f); err != nil {
		t.Fatal(err)
	}
}

func compareAge(a, b string) int {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if err1 != nil || err2 != nil {
		return 0
	}
	return x.ModTime().Compare(y.ModTime())
}
