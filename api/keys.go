package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// Keys knows which cluster keys the nodes have.
type Keys interface {
	// KeyNodes asks all nodes.
	KeyNodes(ctx context.Context) []KeyNode
}

// KeyNode is what a node has of cluster keys, which are named by their IDs.
type KeyNode struct {
	ID       string   `json:"id"`
	Address  string   `json:"address"`
	State    string   `json:"state"`    // as of a machine
	Uses     string   `json:"uses"`     // "" where the node does not say
	Accepts  []string `json:"accepts"`  // that one included
	Leftover []string `json:"leftover"` // replaced, and still in its key file
	Problem  string   `json:"problem,omitempty"`
}

// The phases of a change of the cluster key.
const (
	KeySettled  = "settled"  // one key
	KeyOffered  = "offered"  // some node has a new one
	KeySwitched = "switched" // the new one is used, the old one accepted
)

// KeyStatus is what GET /v1/key answers, and what the steps answer after they were done.
type KeyStatus struct {
	Phase   string    `json:"phase"`
	Current string    `json:"current"` // ID of the key in use
	Other   string    `json:"other"`   // of the new one in phase offered, of the old one in phase switched
	Nodes   []KeyNode `json:"nodes"`
	Sealed  []string  `json:"sealed"`         // jobs, and "setting NAME", whose secrets are still to be sealed again, in phase switched
	Waits   []string  `json:"waits"`          // what is in the way of the next step
	Next    string    `json:"next,omitempty"` // what to do
	Freshness

	began    string // the key that was used when the change under way began
	changed  bool   // there was a change before
	waitsFor []keyWait
}

// keyWait is something in the way, of one node or of all.
type keyWait struct{ node, text string }

// KeyStep is the body of POST /v1/key/switch, back and finish.
type KeyStep struct {
	Without []string `json:"without,omitempty"` // IDs of nodes that are away and are not waited for
}

const (
	keysPath     = "/v1/key"
	keyPatience  = 3 * time.Second // for nodes and for sealed values, before the last step is refused
	keyPoll      = 100 * time.Millisecond
	maxKeyNodes  = 1000
	rotateSwitch = "brigade ctl key rotate --switch"
	rotateFinish = "brigade ctl key rotate --finish"
)

// keyStatus finds out where a change of the key stands.
func (s *Server) keyStatus(ctx context.Context) (*KeyStatus, error) {
	if s.cfg.Keys == nil {
		return nil, problemf(http.StatusConflict, CodeConflict, "there is no cluster key", "this node has no cluster key: it is alone, on loopback")
	}
	var keys fsm.Keys
	var sealed []string
	nodes := s.cfg.Keys.KeyNodes(ctx)
	s.cfg.State.Read(func(state *fsm.State) {
		keys = state.Keys()
		if keys.Old == "" {
			return
		}
		for _, job := range state.SealedWith(keys.Old) {
			sealed = append(sealed, job.ID)
		}
		for _, name := range state.SettingsSealedWith(keys.Old) {
			sealed = append(sealed, "setting "+name)
		}
	})
	return newKeyStatus(keys, nodes, sealed, s.cfg.Node), nil
}

// newKeyStatus judges what nodes say. Self is the node whose key is the one in use where the state names none.
func newKeyStatus(keys fsm.Keys, nodes []KeyNode, sealed []string, self string) *KeyStatus {
	d := &KeyStatus{
		Phase: KeySettled, Current: keys.Current, Other: keys.Old, Nodes: nodes, Sealed: append([]string{}, sealed...), changed: len(keys.Retired) > 0, began: keys.Began, Waits: []string{},
	}
	for i := range nodes {
		n := &nodes[i]
		n.Accepts, n.Leftover = append([]string{}, n.Accepts...), append([]string{}, n.Leftover...) // of one that does not answer, none
		if d.Current == "" && n.ID == self {
			d.Current = n.Uses
		}
	}
	if keys.Old != "" {
		d.Phase = KeySwitched
		d.judgeSwitched()
	} else {
		d.judgeOffered(keys)
	}
	for _, w := range d.waitsFor {
		d.Waits = append(d.Waits, w.text)
	}
	d.Next = d.next()
	return d
}

// name is how a node is told of.
func (n *KeyNode) name() string { return fmt.Sprintf("node %s (%s)", n.ID, n.Address) }

// wait notes what is in the way.
func (d *KeyStatus) wait(node, format string, args ...any) {
	d.waitsFor = append(d.waitsFor, keyWait{node, fmt.Sprintf(format, args...)})
}

// present tells whether a node answered; one that did not is in the way.
func (d *KeyStatus) present(n *KeyNode) bool {
	switch {
	case n.State == Left:
		return false
	case n.Uses == "" && n.Problem == "":
		d.wait(n.ID, "%s is %s: start it with both keys in its key file, or go on --without %s and give it the new key before it starts again", n.name(), n.State, n.ID)
	case n.Problem != "":
		d.wait("", "%s: %s", n.name(), n.Problem)
	default:
		return true
	}
	return false
}

// judgeOffered looks for a new key, the same one on all nodes.
func (d *KeyStatus) judgeOffered(keys fsm.Keys) {
	offered := map[string][]string{}
	for i := range d.Nodes {
		n := &d.Nodes[i]
		for _, key := range n.Accepts {
			switch {
			case keys.IsRetired(key):
				d.wait("", "%s has yet to hear that the old key %s is not accepted any more", n.name(), key)
			case key != d.Current:
				offered[key] = append(offered[key], n.name())
			}
		}
	}
	switch len(offered) {
	case 0:
		return
	case 1:
	default:
		var all []string
		for key, names := range offered {
			all = append(all, key+" on "+strings.Join(names, ", "))
		}
		slices.Sort(all)
		d.Phase = KeyOffered
		d.wait("", "the nodes have different new keys: %s; copy one key file to all of them", strings.Join(all, "; "))
		return
	}
	d.Phase = KeyOffered
	for key := range offered {
		d.Other = key
	}
	for i := range d.Nodes {
		n := &d.Nodes[i]
		switch {
		case !d.present(n):
		case n.Uses != d.Current:
			d.wait("", "%s uses the key %s: put the key %s into its key file", n.name(), n.Uses, d.Current)
		case !slices.Contains(n.Accepts, d.Other):
			d.wait("", "%s has not got the new key: copy the key file with both keys to it", n.name())
		}
	}
}

// judgeSwitched looks for what would be lost with the old key.
func (d *KeyStatus) judgeSwitched() {
	for i := range d.Nodes {
		n := &d.Nodes[i]
		if d.present(n) && n.Uses != d.Current {
			d.wait("", "%s does not use the key %s yet: it needs both keys in its key file", n.name(), d.Current)
		}
	}
	if len(d.Sealed) > 0 {
		first := d.Sealed[:min(len(d.Sealed), 5)]
		d.wait("", "the secrets of %d jobs and settings are still sealed with the old key (%s): that is done within seconds; where it is not, the leader's log says why",
			len(d.Sealed), strings.Join(first, ", "))
	}
}

// next says what to do.
func (d *KeyStatus) next() string {
	switch {
	case len(d.Waits) > 0:
		return d.Waits[0]
	case d.Phase == KeyOffered:
		return rotateSwitch
	case d.Phase == KeySwitched:
		return rotateFinish
	}
	for i := range d.Nodes {
		if n := &d.Nodes[i]; n.Problem != "" {
			return n.name() + ": " + n.Problem
		}
	}
	for i := range d.Nodes {
		if n := &d.Nodes[i]; len(n.Leftover) > 0 {
			return fmt.Sprintf("take the old key out of the key files: brigade keygen --remove %s FILE", n.Leftover[0])
		}
	}
	return "nothing; to change the key: brigade keygen --add FILE on one node, then copy FILE to the others"
}

// blocked explains why a step cannot be taken, nil if it can. Nodes that are away may be left behind.
func (d *KeyStatus) blocked(without []string) error {
	for _, id := range without {
		at := slices.IndexFunc(d.Nodes, func(n KeyNode) bool { return n.ID == id })
		switch {
		case at < 0:
			return keyConflict("there is no node %q to go on without", id)
		case d.Nodes[at].Uses != "" || d.Nodes[at].Problem != "":
			return keyConflict("%s is there: it cannot be left behind", d.Nodes[at].name())
		}
	}
	var rest []string
	for _, w := range d.waitsFor {
		if w.node == "" || !slices.Contains(without, w.node) {
			rest = append(rest, w.text)
		}
	}
	if len(rest) > 0 {
		return keyConflict("%s", strings.Join(rest, "; "))
	}
	return nil
}

func keyConflict(format string, args ...any) error {
	return problemf(http.StatusConflict, CodeKeyState, "not now", format, args...)
}

func (s *Server) showKey(ctx context.Context, _ *call) (*reply, error) {
	d, err := s.keyStatus(ctx)
	return &reply{document: d}, err
}

// keyStep decides whether a step can be taken, and with which command; a command of nil means that it was taken before.
type keyStep struct {
	name    string
	verb    string // in the history
	summary string
	plan    func(d *KeyStatus, without []string) (fsm.Command, error)
}

func keySteps() []keyStep {
	return []keyStep{
		{"switch", "key-use", "Use the new cluster key, and go on accepting the old one", planKeySwitch},
		{"back", "key-back", "Use the old cluster key again", planKeyBack},
		{"finish", "key-end", "Accept the old cluster key no more", planKeyFinish},
	}
}

func planKeySwitch(d *KeyStatus, without []string) (fsm.Command, error) {
	switch {
	case d.Phase == KeySwitched && d.Current != d.began:
		return nil, nil
	case d.Phase == KeySwitched: // taken back, and now on again
		return d.swap()
	case d.Phase == KeySettled:
		return nil, keyConflict("no node has a new key: run brigade keygen --add FILE on one node, with its key file, and copy FILE to the others")
	}
	if err := d.blocked(without); err != nil {
		return nil, err
	}
	return fsm.SwitchKey{From: d.Current, To: d.Other}, nil
}

func planKeyBack(d *KeyStatus, _ []string) (fsm.Command, error) {
	if d.Phase != KeySwitched {
		return nil, keyConflict("the key in use is the only one that was: there is nothing to go back to")
	}
	if d.Current == d.began {
		return nil, nil
	}
	return d.swap()
}

// swap uses the other one of two keys again.
func (d *KeyStatus) swap() (fsm.Command, error) {
	for i := range d.Nodes {
		if n := &d.Nodes[i]; n.Uses != "" && !slices.Contains(n.Accepts, d.Other) {
			return nil, keyConflict("%s has not got the key %s any more: put it back into its key file first", n.name(), d.Other)
		}
	}
	return fsm.SwitchKey{From: d.Current, To: d.Other}, nil
}

func planKeyFinish(d *KeyStatus, without []string) (fsm.Command, error) {
	switch d.Phase {
	case KeySettled:
		if d.changed {
			return nil, nil
		}
		return nil, keyConflict("no change of the key is under way; to begin one: brigade keygen --add FILE on one node, then copy FILE to the others")
	case KeyOffered:
		return nil, keyConflict("the new key is not in use yet; first: %s", rotateSwitch)
	}
	if err := d.blocked(without); err != nil {
		return nil, err
	}
	return fsm.RetireKey{Key: d.Other}, nil
}

// stepKey takes a step. Nodes that only have to hear of the one before are given a moment.
func (s *Server) stepKey(step keyStep) func(context.Context, *call) (*reply, error) {
	return func(ctx context.Context, in *call) (*reply, error) {
		var wanted KeyStep
		if len(in.body) > 0 {
			if err := decode(in.body, &wanted); err != nil {
				return nil, err
			}
		}
		if len(wanted.Without) > maxKeyNodes {
			return nil, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "more than %d nodes", maxKeyNodes)
		}
		cmd, d, err := s.planKey(ctx, step, wanted.Without)
		if err != nil {
			return nil, err
		}
		if cmd != nil {
			target := d.Current + " " + d.Other
			if len(wanted.Without) > 0 {
				target += " without " + strings.Join(wanted.Without, " ")
			}
			if err := s.propose(ctx, in, step.verb, target, cmd); err != nil {
				return nil, err
			}
			s.cfg.Logger.Info("step of a change of the cluster key", "step", step.name, "current", d.Current, "other", d.Other, "without", wanted.Without, "by", in.caller)
		}
		return s.showKey(ctx, in)
	}
}

func (s *Server) planKey(ctx context.Context, step keyStep, without []string) (fsm.Command, *KeyStatus, error) {
	over := time.NewTimer(keyPatience)
	defer over.Stop()
	for waiting := true; ; {
		d, err := s.keyStatus(ctx)
		if err != nil {
			return nil, nil, err
		}
		cmd, err := step.plan(d, without)
		var refusal *Problem
		if err == nil || !errors.As(err, &refusal) || d.Phase != KeySwitched || !waiting {
			return cmd, d, err
		}
		select {
		case <-time.After(keyPoll):
		case <-over.C:
			waiting = false
		case <-ctx.Done():
			return nil, nil, err
		}
	}
}

// Key tells which cluster keys the nodes have, and where a change of the key stands.
func (c *Client) Key(ctx context.Context) (*KeyStatus, error) {
	var d KeyStatus
	return &d, c.call(ctx, http.MethodGet, keysPath, nil, nil, &d)
}

// StepKey takes a step of a change of the cluster key: switch, back or finish.
func (c *Client) StepKey(ctx context.Context, step string, without []string) (*KeyStatus, error) {
	body, err := json.Marshal(KeyStep{without})
	if err != nil {
		return nil, fmt.Errorf("encode step: %w", err)
	}
	var d KeyStatus
	return &d, c.call(ctx, http.MethodPost, keysPath+"/"+step, nil, body, &d)
}
