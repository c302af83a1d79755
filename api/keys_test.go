package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/bucketbrigade/brigade/fsm"
)

const oldKey, nextKey, thirdKey = "00000000000000aa", "00000000000000bb", "00000000000000cc"

// keyRoom is nodes that say what a test has them say.
type keyRoom struct {
	mu    sync.Mutex
	nodes []KeyNode
}

func (r *keyRoom) KeyNodes(context.Context) []KeyNode {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]KeyNode{}, r.nodes...)
}

func (r *keyRoom) say(nodes ...KeyNode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes = nodes
}

// keyNode is a node that is there, with keys of which the first is used.
func keyNode(id string, keys ...string) KeyNode {
	return KeyNode{ID: id, Address: id + ":7461", State: Alive, Uses: keys[0], Accepts: keys, Leftover: []string{}}
}

func awayNode(id, state string) KeyNode { return KeyNode{ID: id, Address: id + ":7461", State: state} }

func brokenNode(id, problem string, keys ...string) KeyNode {
	n := keyNode(id, keys...)
	n.Problem = problem
	return n
}

// TestKeyStatus judges what nodes say: which phase it is, what is in the way and what to do.
func TestKeyStatus(t *testing.T) {
	settled, switched := fsm.Keys{}, fsm.Keys{Current: nextKey, Old: oldKey, Since: 1}
	over := fsm.Keys{Current: nextKey, Since: 1, Retired: []fsm.RetiredKey{{ID: oldKey, At: 2}}}
	left := keyNode(benchNode, nextKey)
	left.Leftover = []string{oldKey}
	for name, test := range map[string]struct {
		keys   fsm.Keys
		nodes  []KeyNode
		sealed []string
		phase  string
		waits  []string // what the lines about what is in the way say
		next   string
	}{
		"one key":                  {settled, []KeyNode{keyNode(benchNode, oldKey), keyNode("b", oldKey)}, nil, KeySettled, nil, "keygen --add"},
		"one key, a node is away":  {settled, []KeyNode{keyNode(benchNode, oldKey), awayNode("b", Dead)}, nil, KeySettled, nil, "keygen --add"},
		"one node has a new one":   {settled, []KeyNode{keyNode(benchNode, oldKey), keyNode("b", oldKey, nextKey)}, nil, KeyOffered, []string{"node " + benchNode}, "copy the key file"},
		"all have it":              {settled, []KeyNode{keyNode(benchNode, oldKey, nextKey), keyNode("b", oldKey, nextKey)}, nil, KeyOffered, nil, "--switch"},
		"two new ones":             {settled, []KeyNode{keyNode(benchNode, oldKey, nextKey), keyNode("b", oldKey, thirdKey)}, nil, KeyOffered, []string{nextKey + " on node " + benchNode}, "copy one key file"},
		"a node is away":           {settled, []KeyNode{keyNode(benchNode, oldKey, nextKey), awayNode("b", Dead)}, nil, KeyOffered, []string{"node b (b:7461) is dead"}, "--without b"},
		"a node hangs":             {settled, []KeyNode{keyNode(benchNode, oldKey, nextKey), awayNode("b", Suspect)}, nil, KeyOffered, []string{"is suspect"}, "--without b"},
		"a node leaves":            {settled, []KeyNode{keyNode(benchNode, oldKey, nextKey), awayNode("b", Left)}, nil, KeyOffered, nil, "--switch"},
		"a file is broken":         {settled, []KeyNode{keyNode(benchNode, oldKey, nextKey), brokenNode("b", "broken", oldKey, nextKey)}, nil, KeyOffered, []string{"node b (b:7461): broken"}, "broken"},
		"a file is broken, at one": {settled, []KeyNode{keyNode(benchNode, oldKey), brokenNode("b", "broken", oldKey)}, nil, KeySettled, nil, "broken"},
		"another one is used":      {settled, []KeyNode{keyNode(benchNode, oldKey, nextKey), keyNode("b", nextKey)}, nil, KeyOffered, []string{"uses the key " + nextKey}, oldKey},
		"switched":                 {switched, []KeyNode{keyNode(benchNode, nextKey, oldKey), keyNode("b", nextKey)}, nil, KeySwitched, nil, "--finish"},
		"a node has not followed":  {switched, []KeyNode{keyNode(benchNode, nextKey, oldKey), keyNode("b", oldKey)}, nil, KeySwitched, []string{"node b (b:7461) does not use the key"}, "both keys"},
		"sealed values":            {switched, []KeyNode{keyNode(benchNode, nextKey, oldKey)}, []string{"j", "k"}, KeySwitched, []string{"2 jobs"}, "(j, k)"},
		"switched, one is away":    {switched, []KeyNode{keyNode(benchNode, nextKey, oldKey), awayNode("b", Dead)}, nil, KeySwitched, []string{"is dead"}, "--without b"},
		"over":                     {over, []KeyNode{left, keyNode("b", nextKey)}, nil, KeySettled, nil, "--remove " + oldKey},
		"over, not heard of":       {over, []KeyNode{keyNode(benchNode, nextKey), keyNode("b", nextKey, oldKey)}, nil, KeySettled, []string{"has yet to hear"}, "has yet to hear"},
		"the next change":          {over, []KeyNode{keyNode(benchNode, nextKey, thirdKey), keyNode("b", nextKey, thirdKey)}, nil, KeyOffered, nil, "--switch"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newKeyStatus(test.keys, test.nodes, test.sealed, benchNode)
			if d.Phase != test.phase || len(d.Waits) != len(test.waits) || !strings.Contains(d.Next, test.next) {
				t.Fatalf("%s, in the way %q, next %q", d.Phase, d.Waits, d.Next)
			}
			for i, want := range test.waits {
				if !strings.Contains(d.Waits[i], want) {
					t.Errorf("%q does not say %q", d.Waits[i], want)
				}
			}
		})
	}
}

// stepKey takes a step over HTTP and returns its status and what was said.
func (b *bench) stepKey(step, body string) (int, KeyStatus, Problem) {
	b.t.Helper()
	resp, text := b.request(http.MethodPost, "/v1/key/"+step, body, nil)
	var d KeyStatus
	var p Problem
	into := any(&d)
	if resp.StatusCode != http.StatusOK {
		into = &p
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		b.t.Fatalf("%s: %s", err, text)
	}
	return resp.StatusCode, d, p
}

// TestKeySteps takes the steps in their order, and tries every other one in between.
func TestKeySteps(t *testing.T) {
	room := &keyRoom{}
	b := newBench(t, func(c *Config) { c.Keys = room })
	refused := func(step, body, says string) {
		t.Helper()
		before := b.effects()
		code, _, p := b.stepKey(step, body)
		if code != http.StatusConflict || !strings.Contains(p.Detail, says) || b.effects() != before {
			t.Errorf("%s: %d, %q, want %q", step, code, p.Detail, says)
		}
	}
	taken := func(step, body, phase string) {
		t.Helper()
		if code, d, p := b.stepKey(step, body); code != http.StatusOK || d.Phase != phase {
			t.Fatalf("%s: %d, %+v, %+v", step, code, d, p)
		}
	}
	room.say(keyNode(benchNode, oldKey), keyNode("b", oldKey))
	refused("switch", "", "brigade keygen --add")
	refused("finish", "", "no change of the key is under way")
	refused("back", "", "nothing to go back to")
	room.say(keyNode(benchNode, oldKey, nextKey), keyNode("b", oldKey))
	refused("switch", "", "node b (b:7461) has not got the new key")
	refused("switch", `{"without": ["b"]}`, "cannot be left behind")
	refused("finish", "", rotateSwitch)
	room.say(keyNode(benchNode, oldKey, nextKey), awayNode("b", Dead))
	refused("switch", "", "node b (b:7461) is dead")
	refused("switch", `{"without": ["c"]}`, `no node "c"`)
	b.must(fsm.SubmitJob{ID: "j", Nonce: []byte("0123456789abcdef"), Kind: "copy", Spec: []byte(`{"source":{"sealed":{"secret_key":"AQAAAAAAAACqxyz="}}}`)})
	taken("switch", `{"without": ["b"]}`, KeySwitched)
	taken("switch", "", KeySwitched) // again
	room.say(keyNode(benchNode, nextKey, oldKey), keyNode("b", oldKey))
	refused("finish", "", "does not use the key")
	room.say(keyNode(benchNode, nextKey), keyNode("b", oldKey))
	refused("back", "", "put it back into its key file first")
	room.say(keyNode(benchNode, nextKey, oldKey), keyNode("b", nextKey, oldKey))
	refused("finish", "", "the secrets of 1 jobs and settings are still sealed")
	b.must(fsm.RemoveJob{Job: "j", Nonce: []byte("0123456789abcdef")})
	inUse := func(want string) {
		t.Helper()
		b.machine.Read(func(s *fsm.State) {
			if got := s.Keys().Current; got != want {
				t.Errorf("the key in use is %s, want %s", got, want)
			}
		})
	}
	for _, step := range []struct{ name, uses string }{{"back", oldKey}, {"back", oldKey}, {"switch", nextKey}, {"switch", nextKey}, {"back", oldKey}} {
		taken(step.name, "", KeySwitched)
		inUse(step.uses)
	}
	refused("finish", "", "does not use the key")
	room.say(keyNode(benchNode, oldKey, nextKey), keyNode("b", oldKey, nextKey))
	taken("finish", "", KeySettled)
	taken("finish", "", KeySettled)
	var keys fsm.Keys
	b.machine.Read(func(s *fsm.State) { keys = s.Keys() })
	if keys.Current != oldKey || keys.Retired[0].ID != nextKey || keys.Old != "" || len(keys.Retired) != 1 {
		t.Errorf("%+v", keys)
	}
	h, err := b.client.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, e := range h.Events {
		did = append(did, e.Verb)
	}
	if got := strings.Join(did, " "); !strings.HasPrefix(got, "key-use") || !strings.HasSuffix(got, "key-end") {
		t.Errorf("the history tells of %s", got)
	}
}

// TestKeyWithoutOne asks a node that has no cluster key.
func TestKeyWithoutOne(t *testing.T) {
	b := newBench(t)
	_, err := b.client.Key(t.Context())
	var p *Problem
	if !errors.As(err, &p) || p.Status != http.StatusConflict || !strings.Contains(p.Detail, "no cluster key") {
		t.Errorf("%v", err)
	}
}
