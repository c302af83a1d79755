package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/bucketbrigade/brigade/fsm"
)

// keyBytes is the length of the keys that the promise is made for; those of the job are shorter.
const keyBytes = 64

// maxLogBytes is what 10,000 small objects may take in the log, all of a job's entries counted.
const maxLogBytes = 2 << 10

// The log holds decisions: 10,000 small objects cost it less than one large key list would.
func TestFigureLogPayload(t *testing.T) {
	const objects = 200_000
	from, to := forgetful(t, fmt.Sprintf("syn%d-1024", objects)), forgetful(t, "to")
	cmd := command{env: append(from.env("SRC"), to.env("DST")...)}
	run := cmd.run(t, "import", from.location(""), to.location(""), "--json", "--yes").want(t, 0)
	if doc := run.document(t); doc.Objects["copied"] != int64(objects) {
		t.Fatalf("copied %v", doc.Objects)
	}
	p := payloadOf(t, cmd.state)
	per, long := p.bytes*10_000/objects, p.padded*10_000/objects
	t.Logf("%d entries, %d bytes for %d objects in %.0f s\n%s", p.entries, p.bytes, objects, run.elapsed.Seconds(), p.table())
	record(t, per < maxLogBytes && long < maxLogBytes, fmt.Sprintf("data of the log's entries, a job of %d objects, first to last", objects),
		fmt.Sprintf("< %d bytes for 10,000 objects", maxLogBytes), fmt.Sprintf("%d bytes, %d if keys had %d bytes, at %.0f objects/s", per, long, keyBytes, float64(objects)/run.elapsed.Seconds()))
}

// payload sums the commands of a log.
type payload struct {
	entries, bytes int
	padded         int // bytes if all keys had keyBytes
	byType         map[string]*share
}

type share struct{ commands, bytes int }

// payloadOf reads the log that a run left. It must be whole: no snapshot has cut it.
func payloadOf(t *testing.T, state string) payload {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(state, "jobs", "*", "raft", "raft.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("want the log of one job in %s: %v %v", state, files, err)
	}
	log, err := raftboltdb.New(raftboltdb.Options{Path: files[0], MsgpackUseNewTimeFormat: true})
	if err != nil {
		t.Fatalf("open log: %v", err)
	}
	defer log.Close()
	first, err1 := log.FirstIndex()
	end, err2 := log.LastIndex()
	if err := errors.Join(err1, err2); err != nil || first != 1 {
		t.Fatalf("read log: first %d, %v", first, err)
	}
	p := payload{byType: map[string]*share{}}
	for i := first; i <= end; i++ {
		var entry raft.Log
		if err := log.GetLog(i, &entry); err != nil {
			t.Fatalf("read log entry %d: %v", i, err)
		}
		if entry.Type == raft.LogCommand {
			p.entries++
			p.bytes += len(entry.Data)
			p.padded += len(entry.Data)
			p.add(t, entry.Data)
		}
	}
	return p
}

// add counts the commands of an entry by their types.
func (p *payload) add(t *testing.T, data []byte) {
	t.Helper()
	command, err := fsm.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	commands := []fsm.Command{command}
	if b, ok := command.(fsm.Batch); ok {
		commands = b.Commands
	}
	for _, c := range commands {
		text, err := fsm.Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(fmt.Sprintf("%T", c), "fsm.")
		if a, ok := c.(fsm.AdvanceTask); ok {
			if len(a.Cuts) > 0 {
				name += " of a scan"
			}
			long, err := fsm.Encode(withLongKeys(a))
			if err != nil {
				t.Fatal(err)
			}
			p.padded += len(long) - len(text)
		}
		if p.byType[name] == nil {
			p.byType[name] = &share{}
		}
		p.byType[name].commands++
		p.byType[name].bytes += len(text)
	}
}

// withLongKeys lengthens the keys in a command.
func withLongKeys(a fsm.AdvanceTask) fsm.AdvanceTask {
	long := func(key []byte) []byte {
		if len(key) == 0 {
			return key
		}
		return append(slices.Clone(key), make([]byte, max(0, keyBytes-len(key)))...)
	}
	a.From, a.To, a.Cuts = long(a.From), long(a.To), slices.Clone(a.Cuts)
	for i := range a.Cuts {
		a.Cuts[i].From, a.Cuts[i].To = long(a.Cuts[i].From), long(a.Cuts[i].To)
	}
	return a
}

// table lists what the bytes were spent on.
func (p *payload) table() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.byType)) {
		fmt.Fprintf(&b, "  %-24s %6d commands %8d bytes\n", name, p.byType[name].commands, p.byType[name].bytes)
	}
	return b.String()
}
