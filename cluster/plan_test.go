package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var planNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var testPolicy = Policy{Stable: 10 * time.Second, FailedVoter: 2 * time.Minute, Forget: 72 * time.Hour}

// configOf reads "a b c-": servers, those with a dash do not vote.
func configOf(text string) (servers []Server) {
	for _, f := range strings.Fields(text) {
		id, nonvoter := strings.CutSuffix(f, "-")
		servers = append(servers, Server{id, !nonvoter})
	}
	return servers
}

// standingsOf reads "a:self b c:dead=3m,left d:new": nodes, alive and caught up for long unless it says otherwise.
func standingsOf(t *testing.T, text string) (all []Standing) {
	t.Helper()
	for _, f := range strings.Fields(text) {
		id, words, _ := strings.Cut(f, ":")
		long := planNow.Add(-time.Hour)
		st := Standing{ID: id, Address: "at-" + id, Alive: true, Since: long, CaughtUp: long}
		for _, word := range strings.FieldsFunc(words, func(r rune) bool { return r == ',' }) {
			word, value, _ := strings.Cut(word, "=")
			switch word {
			case "self":
				st.Self = true
			case "left":
				st.Left = true
			case "worker":
				st.WorkerOnly = true
			case "draining":
				st.Draining = true
			case "low":
				st.DiskLow = true
			case "behind":
				st.CaughtUp = time.Time{}
			case "fresh":
				st.CaughtUp = planNow.Add(-time.Second)
			case "at":
				st.Address = value
			case "dead":
				d, err := time.ParseDuration(value)
				if err != nil {
					t.Fatal(err)
				}
				st.Alive, st.Since, st.CaughtUp = false, planNow.Add(-d), time.Time{}
			default:
				t.Fatalf("unknown word %q", word)
			}
		}
		all = append(all, st)
	}
	return all
}

func TestPlan(t *testing.T) {
	tests := []struct{ name, config, members, want string }{
		{"one alone", "a", "a:self", ""},
		{"a second joins", "a", "a:self b", "add nonvoter b"},
		{"two members, one voter", "a b-", "a:self b", ""},
		{"a third joins", "a b-", "a:self b c:behind", "add nonvoter c, promote b"},
		{"two become voters", "a b- c-", "a:self b c", "promote b, promote c"},
		{"not before they are stable", "a b- c-", "a:self b:fresh c:behind", ""},
		{"one of them is stable", "a b- c-", "a:self b:fresh c", "promote c"},
		{"three voters", "a b c", "a:self b c", ""},
		{"a fourth stays without vote", "a b c d-", "a:self b c d", ""},
		{"the fifth makes five", "a b c d- e-", "a:self b c d e", "promote d, promote e"},
		{"six have five", "a b c d e f-", "a:self b c d e f", ""},
		{"seven founders have five", "a b c d e f g", "a:self b c d e f g", "demote g, demote f"},
		{"never the leader", "a b c d e f g", "a b c d e f g:self", "demote f, demote e"},
		{"the dead first", "a b c d e f g", "a:self b:dead=1s c d e f g", "demote b, demote g"},
		{"the draining before others", "a b c d e f g", "a:self b:draining c d e f g:draining", "demote g, demote b"},

		{"a dead node does not change the target", "a b c", "a:self b c:dead=1h", ""},
		{"nor do two", "a b c d e", "a:self b c d:dead=1h e:dead=1h", ""},
		{"a dead voter, a spare at hand", "a b c d-", "a:self b c:dead=3m d", "demote c"},
		{"then the spare is promoted", "a b c- d-", "a:self b c:dead=3m d", "promote d"},
		{"not at once", "a b c d-", "a:self b c:dead=1m d", ""},
		{"not for a spare that is not stable", "a b c d-", "a:self b c:dead=3m d:fresh", ""},
		{"one at a time", "a b c d e f- g-", "a:self b c d:dead=3m e:dead=3m f g", "demote d"},
		{"dead for days", "a b c d-", "a:self b c:dead=73h d", "remove c, promote d"},
		{"dead nonvoter for days", "a b c d-", "a:self b c d:dead=73h", "remove d"},
		{"dead for days, one change a round of three voters", "a b c", "a:self b c:dead=73h", "remove c"},
		{"removed one at a time as the quorum allows", "a b c d e", "a:self b c d:dead=73h e:dead=73h", "remove d, remove e"},

		{"left", "a b c d-", "a:self b c:left d", "remove c, promote d"},
		{"left and gone", "a b c d-", "a:self b c:left,dead=1s d", "remove c, promote d"},
		{"left nonvoter", "a b c d-", "a:self b c d:left", "remove d"},
		{"left, two stay", "a b c", "a:self b c:left", "remove c"},
		{"then one votes", "a b", "a:self b", "demote b"},
		{"the leader leaves and never removes itself", "a b c d-", "a:self,left b c d", "promote d"},
		{"the leader of two leaves", "a b-", "a:self,left b:fresh", "promote b"},
		{"not before the other is caught up", "a b-", "a:self,left b:behind", ""},
		{"two leave", "a b c d e", "a:self b c d:left e:left", "remove d, remove e"},
		{"three leave", "a b c d e", "a:self b c:left d:left e:left", "remove c, remove d"},

		{"a wiped machine", "a b c", "a:self b c:dead=1s d:at=at-c,behind", "remove c, add nonvoter d"},
		{"a machine wiped twice", "a b c- d-", "a:self b c:dead=1s d:dead=1s,at=at-c e:at=at-c,behind", "remove c, remove d, add nonvoter e"},
		{"an address is not taken from the living", "a b c", "a:self b c d:at=at-c,behind", "add nonvoter d"},

		{"a leader low on disk steps down", "a b c", "a:self,low b c", "demote a"},
		{"and votes again under another", "a- b c", "a:low b:self c", "promote a"},
		{"a spare votes rather", "a- b c d-", "a:low b:self c d", "promote d"},
		{"it stays where all are low", "a b c", "a:self,low b:low c:low", ""},
		{"it stays while another voter is dead", "a b c", "a:self,low b:dead=1s c", ""},
		{"of five one may be dead", "a b c d e", "a:self,low b:dead=1s c d e", "demote a"},
		{"the only voter stays", "a b-", "a:self,low b", ""},
		{"one of two voters stays", "a b", "a:self,low b", "demote b"},
		{"a follower low on disk keeps its vote", "a b c", "a:self b:low c", ""},
		{"until there is a spare", "a b c d-", "a:self b:low c d", "demote b"},
		{"which is not low itself", "a b c d-", "a:self b:low c d:low", ""},
		{"a failed voter is replaced before it", "a b c d-", "a:self b:low c:dead=3m d", "demote c"},
		{"the low before others", "a b c d e f g", "a:self b:low c d e f g:draining", "demote b, demote g"},

		{"worker only", "a", "a:self b:worker", ""},
		{"becomes worker only", "a b c", "a:self b c:worker", "remove c"},
		{"a dead newcomer", "a", "a:self b:dead=1s", ""},
		{"a newcomer that leaves", "a", "a:self b:left", ""},
		{"spares that drain come last", "a b- c- d-", "a:self b:draining c d", "promote c, promote d"},
		{"no standing, no change", "a b c d e f g", "a:self", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, c := range testPolicy.Plan(configOf(test.config), standingsOf(t, test.members), planNow) {
				got = append(got, c.Kind.String()+" "+c.ID)
			}
			if d := cmp.Diff(test.want, strings.Join(got, ", ")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestVoters(t *testing.T) {
	want := []int{1, 1, 1, 3, 3, 5, 5, 5, 5}
	for n, v := range want {
		if got := Voters(n); got != v {
			t.Errorf("%d members: %d voters, want %d", n, got, v)
		}
	}
}

func TestPlanStopsAtMaxServers(t *testing.T) {
	var members []string
	for i := range 40 {
		members = append(members, fmt.Sprintf("n%02d:behind", i))
	}
	members[0] = "n00:self"
	changes := testPolicy.Plan(configOf("n00"), standingsOf(t, strings.Join(members, " ")), planNow)
	if len(changes) != MaxServers-1 {
		t.Errorf("%d changes", len(changes))
	}
}

// TestPlanIsSafe makes random clusters, applies plan after plan, and looks at each step.
func TestPlanIsSafe(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		config, standings := randomCluster(r)
		began := slices.Clone(config)
		for range 40 {
			changes := testPolicy.Plan(config, standings, planNow)
			if len(changes) == 0 {
				break
			}
			for _, c := range changes {
				if err := fits(config, c); err != nil {
					t.Fatalf("seed %d: %v %s does not fit %v", seed, c.Kind, c.ID, config)
				}
				config = applied(config, c)
				if !quorate(config, standings) {
					t.Fatalf("seed %d: %v %s leaves no majority: %v from %v among %v", seed, c.Kind, c.ID, config, began, standings)
				}
			}
		}
		if left := testPolicy.Plan(config, standings, planNow); len(left) > 0 {
			t.Fatalf("seed %d: the plan never ends: %v of %v among %v", seed, left, config, standings)
		}
	}
}

// randomCluster makes a configuration with a leader that has a majority behind it.
func randomCluster(r *rand.Rand) ([]Server, []Standing) {
	for {
		var config []Server
		var standings []Standing
		for i := range 1 + r.IntN(9) {
			id := string(rune('a' + i))
			if i == 0 || r.IntN(4) > 0 {
				config = append(config, Server{id, i == 0 || r.IntN(3) > 0})
			}
			long := planNow.Add(-time.Hour)
			st := Standing{ID: id, Self: i == 0, Alive: i == 0 || r.IntN(3) > 0, Since: long, Left: r.IntN(6) == 0, DiskLow: r.IntN(4) == 0, WorkerOnly: i > 0 && r.IntN(8) == 0}
			st.Address = fmt.Sprint("at-", r.IntN(12))
			if !st.Alive && r.IntN(3) == 0 {
				st.Since = planNow.Add(-100 * time.Hour)
			}
			if st.Alive && r.IntN(4) > 0 {
				st.CaughtUp = long
			}
			standings = append(standings, st)
		}
		if quorate(config, standings) {
			return config, standings
		}
	}
}

func applied(config []Server, c Change) []Server {
	config = slices.Clone(config)
	i := slices.IndexFunc(config, func(s Server) bool { return s.ID == c.ID })
	switch c.Kind {
	case AddNonvoter:
		return append(config, Server{ID: c.ID})
	case Remove:
		return slices.Delete(config, i, i+1)
	}
	config[i].Voter = c.Kind == Promote
	return config
}

func quorate(config []Server, standings []Standing) bool {
	voters, alive := 0, 0
	for _, s := range config {
		if !s.Voter {
			continue
		}
		voters++
		if slices.ContainsFunc(standings, func(st Standing) bool { return st.ID == s.ID && st.Alive }) {
			alive++
		}
	}
	return alive >= voters/2+1
}
