package fsm

import (
	"maps"
	"slices"
	"strings"
)

// Bounds of the outbox.
const (
	MaxNotices   = 500 // waiting to be told; past it the oldest is dropped
	maxKeysTold  = 1000
	maxReceivers = 100 // that one notice is told to
	maxReceiver  = 256 // bytes of a receiver's name
)

// Notice is one thing that people are to be told, until it was told to all of them. What kinds there are, who is told and in what words
// is not for the state to know. Values are never changed in place.
type Notice struct {
	ID     uint64   `json:"id"` // counted from 1
	Kind   string   `json:"kind"`
	At     int64    `json:"at"`
	Job    string   `json:"job,omitempty"`
	Nonce  []byte   `json:"nonce,omitempty"` // of the job; another one under its ID is another job
	Pass   uint64   `json:"pass,omitempty"`
	State  JobState `json:"state,omitempty"` // of the job, as it was then, as are its sums
	Reason string   `json:"reason,omitempty"`
	Node   string   `json:"node,omitempty"`
	Counts Counts   `json:"counts,omitzero"`
	Told   []string `json:"told,omitempty"` // receivers that have it, or will never take it
}

// The kinds of notices that commands themselves bring about.
const (
	NoticeJobDone    = "job-done"
	NoticeJobFailed  = "job-failed"
	NoticeJobPaused  = "job-paused" // by a rule
	NoticeMismatch   = "mismatch"
	NoticeCredential = "credential-refused"
)

// OperatorClass is the class of a pause that a person asked for. Such pauses are no news.
const OperatorClass = "operator"

// PostNotice puts a notice into the outbox, as the leader found it. Key names what it is about, such as a node, and Value
// how that stands now: while it stands as it was told last, it is not told again, or not until Again nanoseconds later. Without
// a Kind nothing is told, only how it stands is noted; the same where First is not set and nothing was noted of it before.
type PostNotice struct {
	Kind   string `json:"kind,omitempty"`
	Key    string `json:"key,omitempty"`
	Value  string `json:"value,omitempty"`
	Again  int64  `json:"again,omitempty"` // 0: never
	First  bool   `json:"first,omitempty"`
	Job    string `json:"job,omitempty"`
	Node   string `json:"node,omitempty"`
	Reason string `json:"reason,omitempty"`
	At     int64  `json:"at"`
}

// AckNotices notes that receivers were told. With Final the notices leave the outbox: nobody is left to be told. Notices that
// are gone are no error.
type AckNotices struct {
	IDs       []uint64 `json:"ids"`
	Receivers []string `json:"receivers,omitempty"`
	Final     bool     `json:"final,omitempty"`
}

// Notices returns what waits to be told, the oldest first; the slice is not to be changed.
func (s *State) Notices() []*Notice { return s.notices }

// NoticesDropped is how many notices were dropped because too many waited.
func (s *State) NoticesDropped() uint64 { return s.droppedNotices }

// tell puts a notice of a job into the outbox.
func (s *State) tell(kind string, j *Job, at int64) {
	s.addNotice(&Notice{
		Kind: kind, At: at, Job: j.ID, Nonce: j.Nonce, Pass: j.Pass, State: j.State, Reason: j.Reason, Counts: j.Counts,
	})
}

func (s *State) addNotice(n *Notice) {
	s.lastNotice++
	n.ID = s.lastNotice
	all := append(slices.Clip(s.notices), n) // a snapshot may hold the old one
	if over := len(all) - MaxNotices; over > 0 {
		all = all[over:]
		s.droppedNotices += uint64(over)
	}
	s.notices = all
}

// tellEnd tells of a finished pass, unless the leader goes on with it by itself.
func (s *State) tellEnd(j *Job) {
	switch {
	case j.State == Succeeded:
		s.tell(NoticeJobDone, j, j.Finished)
	case j.State == Failed && j.RetryAt == 0 && (j.Type == "verify" || j.Classes["mismatch"] > 0):
		s.tell(NoticeMismatch, j, j.Finished)
	case j.State == Failed && j.RetryAt == 0:
		s.tell(NoticeJobFailed, j, j.Finished)
	}
}

// tellPause tells of a pause that a rule brought about.
func (s *State) tellPause(j *Job, at int64) {
	switch {
	case j.State != Paused || j.Class == OperatorClass:
	case j.Class == "auth":
		s.tell(NoticeCredential, j, at)
	default:
		s.tell(NoticeJobPaused, j, at)
	}
}

func (s *State) postNotice(c PostNotice) error {
	switch {
	case c.Kind != "" && !validSetting(c.Kind), c.Kind == "" && c.Key == "":
		return invalid("notice of kind %q", short(c.Kind))
	case len(c.Key) > maxKey || len(c.Value) > maxName || len(c.Node) > maxName:
		return invalid("notice with a key of %d bytes, a value of %d and a node of %d", len(c.Key), len(c.Value), len(c.Node))
	case c.Again < 0:
		return invalid("notice again after %d ns", c.Again)
	}
	n := &Notice{Kind: c.Kind, Node: strings.ToValidUTF8(c.Node, "\uFFFD"), Reason: short(c.Reason), At: c.At}
	if c.Job != "" {
		j := s.jobs[c.Job]
		if j == nil {
			return ErrNoJob
		}
		n.Job, n.Nonce, n.Pass, n.State, n.Counts = j.ID, j.Nonce, j.Pass, j.State, j.Counts
	}
	quiet := c.Kind == ""
	if c.Key != "" {
		key, value := strings.ToValidUTF8(c.Key, "\uFFFD"), strings.ToValidUTF8(c.Value, "\uFFFD")
		last, known := s.told[key]
		if known && last.Value == value && (c.Again == 0 || c.At-last.At < c.Again) {
			return nil
		}
		quiet = quiet || !known && !c.First
		s.noteTold(key, Told{value, c.At})
	}
	if !quiet {
		s.addNotice(n)
	}
	return nil
}

// Told is how something stood when it was told last.
type Told struct {
	Value string `json:"v,omitempty"`
	At    int64  `json:"at"`
}

// Told returns how something stood when it was told last; ok is false for what was never told.
func (s *State) Told(key string) (t Told, ok bool) {
	t, ok = s.told[key]
	return t, ok
}

// noteTold remembers what was told, and forgets the oldest when there is too much.
func (s *State) noteTold(key string, now Told) {
	told := maps.Clone(s.told)
	if told == nil {
		told = map[string]Told{}
	}
	told[key] = now
	if len(told) > maxKeysTold {
		oldest := key
		for k, t := range told {
			if t.At < told[oldest].At || t.At == told[oldest].At && k < oldest {
				oldest = k
			}
		}
		delete(told, oldest)
	}
	s.told = told
}

func (s *State) ackNotices(c AckNotices) error {
	if len(c.IDs) == 0 || len(c.IDs) > MaxNotices || len(c.Receivers) > maxReceivers {
		return invalid("acknowledgement of %d notices by %d receivers", len(c.IDs), len(c.Receivers))
	}
	for _, r := range c.Receivers {
		if r == "" || len(r) > maxReceiver {
			return invalid("receiver of %d bytes", len(r))
		}
	}
	kept := make([]*Notice, 0, len(s.notices))
	for _, n := range s.notices {
		if slices.Contains(c.IDs, n.ID) {
			if c.Final {
				continue
			}
			n = n.toldTo(c.Receivers)
		}
		kept = append(kept, n)
	}
	s.notices = kept
	return nil
}

// toldTo returns the notice with more receivers that have it.
func (n *Notice) toldTo(receivers []string) *Notice {
	n = clone(n)
	n.Told = slices.Clone(n.Told)
	for _, r := range receivers {
		r = strings.ToValidUTF8(r, "\uFFFD")
		if !slices.Contains(n.Told, r) && len(n.Told) < maxReceivers {
			n.Told = append(n.Told, r)
		}
	}
	return n
}
