package metrics

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
)

// Sources are where a node's metrics are read from when somebody asks. All are required.
type Sources struct {
	State   interface{ Read(func(*fsm.State)) }
	Status  func(job string) (scheduler.Status, bool) // as scheduler.Leader has it
	Raft    func() cluster.RaftStats
	Members func() map[string]string // states by node
	Mover   *transfer.Node
	Spool   Spool
	Singles func() int // segments without a second copy
	DiskLow func() bool
	Now     func() time.Time
}

// Spool is the part of cluster.Spool that is looked at.
type Spool interface {
	List(ctx context.Context) iter.Seq2[cluster.SpoolEntry, error]
	Space() (free, total uint64, err error)
}

const (
	spoolEvery    = 30 * time.Second // between two walks through the spool's folders
	spoolPatience = 5 * time.Second
)

// Observe adds what is read from a node. It is called once.
func (m *Metrics) Observe(s Sources) {
	c := &collector{Sources: s, descs: map[string]*prometheus.Desc{}}
	for _, f := range Families() {
		c.descs[f.Name] = f.desc()
	}
	m.registry.MustRegister(c)
}

// collector reads a node at each scrape. Scrapes may overlap.
type collector struct {
	Sources
	descs map[string]*prometheus.Desc // by name

	mu       sync.Mutex // of what follows: the spool as it was last found
	looked   time.Time
	segments int
	bytes    int64
	known    bool
}

// Describe implements prometheus.Collector. All that is collected belongs to families whose names nobody else uses, so that
// nothing needs to be checked beforehand.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	out, raft := output{to, c.descs}, c.Raft()
	c.collectState(out, raft.Leads)
	c.collectRaft(out, raft)
	c.collectOwn(out)
}

// output takes values.
type output struct {
	to    chan<- prometheus.Metric
	descs map[string]*prometheus.Desc
}

func (o output) put(f *Family, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if f.Type == Counter {
		kind = prometheus.CounterValue
	}
	desc := o.descs[f.Name]
	metric, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	if err != nil { // a label that is no text
		metric = prometheus.NewInvalidMetric(desc, err)
	}
	o.to <- metric
}

func (o output) is(f *Family, yes bool, labels ...string) {
	value := 0.0
	if yes {
		value = 1
	}
	o.put(f, value, labels...)
}

// time puts a time of the state, unless there is none.
func (o output) time(f *Family, unixNano int64, labels ...string) {
	if unixNano != 0 {
		o.put(f, float64(unixNano)/1e9, labels...)
	}
}

func (c *collector) collectRaft(out output, r cluster.RaftStats) {
	out.put(&raftTerm, float64(r.Term))
	out.is(&raftLeads, r.Leads)
	out.is(&raftHasLeader, r.HasLeader)
	out.put(&raftLast, float64(r.Last))
	out.put(&raftCommitted, float64(r.Committed))
	out.put(&raftApplied, float64(r.Applied))
	out.put(&raftSnapshot, float64(r.Snapshot))
	out.put(&raftVoters, float64(r.Voters))
	if r.LastContact >= 0 {
		out.put(&raftContact, r.LastContact.Seconds())
	}
	counts := map[string]int{"alive": 0, "dead": 0, "left": 0}
	for _, state := range c.Members() {
		counts[state]++
	}
	for state, n := range counts {
		out.put(&members, float64(n), state)
	}
}

// collectOwn collects what the node uses and keeps.
func (c *collector) collectOwn(out output) {
	out.put(&memory, float64(c.Mover.Memory.Total()))
	out.put(&memoryUsed, float64(c.Mover.Memory.InUse()))
	out.put(&slots, float64(c.Mover.Slots.Size()))
	out.put(&slotsUsed, float64(c.Mover.Slots.InUse()))
	out.put(&spoolSingles, float64(c.Singles()))
	out.is(&diskLow, c.DiskLow())
	if free, total, err := c.Spool.Space(); err == nil { // else the node says so in its log
		out.put(&diskFree, float64(free))
		out.put(&diskSize, float64(total))
	}
	if segments, bytes, ok := c.spool(); ok {
		out.put(&spoolSegments, float64(segments))
		out.put(&spoolBytes, float64(bytes))
	}
}

// spool counts segments. It walks through the folders now and then only: there may be many files.
func (c *collector) spool() (segments int, bytes int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.Now(); !c.known || now.Sub(c.looked) >= spoolEvery {
		c.looked = now
		ctx, cancel := context.WithTimeout(context.Background(), spoolPatience)
		defer cancel()
		c.segments, c.bytes, c.known = 0, 0, true
		for entry, err := range c.Spool.List(ctx) {
			if err != nil {
				c.known = false
				break
			}
			c.segments++
			c.bytes += entry.Size
		}
	}
	return c.segments, c.bytes, c.known
}
