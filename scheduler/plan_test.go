package scheduler

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/fsm"
)

func view(id string, free int, jobs ...string) nodeView {
	n := nodeView{id: id, free: free, ready: map[string]bool{}}
	for _, j := range jobs {
		n.ready[j] = true
	}
	return n
}

func holding(n nodeView, tasks int) nodeView {
	n.held = tasks
	return n
}

func heldScan(task uint64, job, node string) scanView {
	return scanView{holding: fsm.TaskEpoch{Task: task, Epoch: 1}, job: job, node: node}
}

func TestPlan(t *testing.T) {
	tests := map[string]struct {
		board  board
		grants []string // task@node
		yields []uint64
	}{
		"nothing to do": {board: board{nodes: []nodeView{view("n", 2, "a")}, slots: 2}},
		"whoever holds nothing comes first": {
			board: board{slots: 6, nodes: []nodeView{holding(view("m", 3, "a"), 1), view("n", 2, "a")},
				jobs: []jobView{{id: "a", leased: 1, copies: []uint64{2, 3, 4}}}},
			grants: []string{"2@n", "3@m", "4@m"},
		},
		"one slot, a copy goes before a scan": {
			board: board{slots: 1, nodes: []nodeView{view("n", 1, "a")},
				jobs: []jobView{{id: "a", scans: []uint64{1}, copies: []uint64{2}}}},
			grants: []string{"2@n"},
		},
		"one slot, a scan when no copy waits": {
			board:  board{slots: 1, nodes: []nodeView{view("n", 1, "a")}, jobs: []jobView{{id: "a", scans: []uint64{1}}}},
			grants: []string{"1@n"},
		},
		"one slot, a scan holds it while a copy waits": {
			board: board{slots: 1, nodes: []nodeView{view("n", 0, "a")},
				jobs: []jobView{{id: "a", leased: 1, copies: []uint64{2}}}, scans: []scanView{heldScan(1, "a", "n")}},
			yields: []uint64{1},
		},
		"asked once is enough": {
			board: board{slots: 1, nodes: []nodeView{view("n", 0, "a")},
				jobs:  []jobView{{id: "a", leased: 1, copies: []uint64{2}}},
				scans: []scanView{{holding: fsm.TaskEpoch{Task: 1, Epoch: 1}, job: "a", node: "n", yielding: true}}},
		},
		"no yield for a copy that the node cannot do": {
			board: board{slots: 1, nodes: []nodeView{view("n", 0, "a"), view("m", 0, "b")},
				jobs:  []jobView{{id: "a", leased: 1}, {id: "b", copies: []uint64{2}}},
				scans: []scanView{heldScan(1, "a", "n")}},
		},
		"no yield for a copy that a free slot takes": {
			board: board{slots: 2, nodes: []nodeView{view("n", 1, "a")},
				jobs:  []jobView{{id: "a", leased: 1, copies: []uint64{2}}},
				scans: []scanView{heldScan(1, "a", "n")}},
			grants: []string{"2@n"},
		},
		"scans get half while copies wait": {
			board: board{slots: 4, nodes: []nodeView{view("n", 4, "a")},
				jobs: []jobView{{id: "a", scans: []uint64{1, 2, 3, 4}, copies: []uint64{5, 6, 7, 8}}}},
			grants: []string{"1@n", "2@n", "5@n", "6@n"},
		},
		"scans get all when no copy waits": {
			board: board{slots: 4, nodes: []nodeView{view("n", 4, "a")},
				jobs: []jobView{{id: "a", scans: []uint64{1, 2, 3, 4}}}},
			grants: []string{"1@n", "2@n", "3@n", "4@n"},
		},
		"scans get what copies leave": {
			board: board{slots: 4, nodes: []nodeView{view("n", 4, "a")},
				jobs: []jobView{{id: "a", scans: []uint64{1, 2, 3, 4}, copies: []uint64{5}}}},
			grants: []string{"1@n", "2@n", "5@n", "3@n"},
		},
		"a copy that nobody can do takes nothing from scans": {
			board: board{slots: 2, nodes: []nodeView{view("n", 2, "a")},
				jobs: []jobView{{id: "a", scans: []uint64{1, 2}}, {id: "b", copies: []uint64{3}}}},
			grants: []string{"1@n", "2@n"},
		},
		"scans beyond the share yield, the newest first": {
			board: board{slots: 4, nodes: []nodeView{view("n", 0, "a")},
				jobs:  []jobView{{id: "a", leased: 4, copies: []uint64{9}}},
				scans: []scanView{heldScan(1, "a", "n"), heldScan(2, "a", "n"), heldScan(3, "a", "n"), heldScan(4, "a", "n")}},
			yields: []uint64{4, 3},
		},
		"scans of the lowest priority yield first": {
			board: board{slots: 2, nodes: []nodeView{view("n", 0, "a", "b")},
				jobs:  []jobView{{id: "a", leased: 1}, {id: "b", priority: 1, leased: 1, copies: []uint64{9}}},
				scans: []scanView{heldScan(1, "a", "n"), heldScan(2, "b", "n")}},
			yields: []uint64{1},
		},
		"the highest priority comes first": {
			board: board{slots: 3, nodes: []nodeView{view("n", 3, "a", "b")},
				jobs: []jobView{{id: "a", copies: []uint64{1, 2, 3}}, {id: "b", priority: 7, copies: []uint64{4, 5}}}},
			grants: []string{"4@n", "5@n", "1@n"},
		},
		"among equals the job that holds least": {
			board: board{slots: 8, nodes: []nodeView{view("n", 4, "a", "b")},
				jobs: []jobView{{id: "a", leased: 2, copies: []uint64{1, 2, 3}}, {id: "b", copies: []uint64{4, 5, 6}}}},
			grants: []string{"4@n", "5@n", "1@n", "6@n"},
		},
		"among equals the job that was served least, however little it holds": {
			board: board{slots: 8, nodes: []nodeView{view("n", 1, "a", "b")},
				jobs: []jobView{{id: "a", load: 7, copies: []uint64{1}}, {id: "b", leased: 5, load: 6, copies: []uint64{2}}}},
			grants: []string{"2@n"},
		},
		"a large task counts for as many small ones": {
			board: board{slots: 8, nodes: []nodeView{view("n", 5, "a", "b")},
				jobs: []jobView{
					{id: "a", copies: []uint64{1, 2}, costs: map[uint64]int64{1: 30, 2: 30}},
					{id: "b", copies: []uint64{3, 4, 5, 6}, costs: map[uint64]int64{3: 10, 4: 10, 5: 10, 6: 10}}}},
			grants: []string{"1@n", "3@n", "4@n", "5@n", "2@n"},
		},
		"a priority goes before what was served": {
			board: board{slots: 1, nodes: []nodeView{view("n", 1, "a", "b")},
				jobs: []jobView{{id: "a", copies: []uint64{1}}, {id: "b", priority: 1, load: 1 << 40, copies: []uint64{2}}}},
			grants: []string{"2@n"},
		},
		"one slot, a job without a copy takes its turn with its scan": {
			board: board{slots: 1, nodes: []nodeView{view("n", 1, "a", "b")},
				jobs: []jobView{{id: "a", load: 9, copies: []uint64{1}}, {id: "b", scans: []uint64{2}}}},
			grants: []string{"2@n"},
		},
		"one slot, a job without a copy waits for its turn": {
			board: board{slots: 1, nodes: []nodeView{view("n", 1, "a", "b")},
				jobs: []jobView{{id: "a", load: 9, copies: []uint64{1}}, {id: "b", load: 10, scans: []uint64{2}}}},
			grants: []string{"1@n"},
		},
		"a job that the node does not work for yet goes before one a little behind": {
			board: board{slots: 8, nodes: []nodeView{{id: "n", free: 1, ready: map[string]bool{"a": true, "b": true}, copies: map[string]int{"a": 3}}},
				jobs: []jobView{{id: "a", load: 7, bias: 5, copies: []uint64{1}}, {id: "b", load: 9, bias: 5, copies: []uint64{2}}}},
			grants: []string{"2@n"},
		},
		"but not before one far behind": {
			board: board{slots: 8, nodes: []nodeView{{id: "n", free: 1, ready: map[string]bool{"a": true, "b": true}, copies: map[string]int{"a": 3}}},
				jobs: []jobView{{id: "a", load: 7, bias: 5, copies: []uint64{1}}, {id: "b", load: 19, bias: 5, copies: []uint64{2}}}},
			grants: []string{"1@n"},
		},
		"a task is kept from the node that gave it back": {
			board: board{slots: 5, nodes: []nodeView{view("m", 1, "a"), view("n", 3, "a")},
				jobs: []jobView{{id: "a", copies: []uint64{1, 2}, avoid: map[uint64]map[string]bool{1: {"n": true}}}}},
			grants: []string{"2@n", "1@m"},
		},
		"a task that was given back waits for another node, others do not": {
			board: board{slots: 5, nodes: []nodeView{view("m", 0, "a"), view("n", 3, "a")},
				jobs: []jobView{{id: "a", copies: []uint64{1, 2}, avoid: map[uint64]map[string]bool{1: {"n": true}}}}},
			grants: []string{"2@n"},
		},
		"a high priority that no free node can do stands back": {
			board: board{slots: 2, nodes: []nodeView{view("m", 0, "b"), view("n", 1, "a")},
				jobs: []jobView{{id: "a", copies: []uint64{1}}, {id: "b", priority: 7, copies: []uint64{2}}}},
			grants: []string{"1@n"},
		},
		"the emptiest node gets it": {
			board: board{slots: 6, nodes: []nodeView{holding(view("m", 1, "a"), 1), holding(view("n", 3, "a"), 1)},
				jobs: []jobView{{id: "a", copies: []uint64{1, 2, 3}}}},
			grants: []string{"1@n", "2@n", "3@m"},
		},
		"a throttled job's scans rest and yield": {
			board: board{slots: 4, nodes: []nodeView{view("n", 2, "a")},
				jobs:  []jobView{{id: "a", leased: 1, scans: []uint64{2}, copies: []uint64{3}, throttled: true}},
				scans: []scanView{heldScan(1, "a", "n")}},
			grants: []string{"3@n"},
			yields: []uint64{1},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			grants, yields := test.board.plan()
			var got []string
			for _, g := range grants {
				got = append(got, fmt.Sprintf("%d@%s", g.Task, g.Node))
			}
			if d := cmp.Diff(test.grants, got); d != "" {
				t.Errorf("grants: %s", d)
			}
			var ids []uint64
			for _, y := range yields {
				ids = append(ids, y.holding.Task)
			}
			if d := cmp.Diff(test.yields, ids); d != "" {
				t.Errorf("yields: %s", d)
			}
		})
	}
}

func TestScanShare(t *testing.T) {
	for slots, want := range map[int]int{0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 9: 4} {
		if got := scanShare(slots, true); got != want {
			t.Errorf("scanShare(%d, true) = %d, want %d", slots, got, want)
		}
		if got := scanShare(slots, false); got != slots {
			t.Errorf("scanShare(%d, false) = %d, want all", slots, got)
		}
	}
}
