package throughput

import (
	"math/rand/v2"
	"testing"
	"time"
)

// start is the beginning of a step of every tier.
func start() time.Time { return time.Unix(1_800_000_000/600*600, 0).UTC() }

func sum(counts []Counts) (s Counts) {
	for _, c := range counts {
		s = s.Plus(c)
	}
	return s
}

func plan(t *testing.T, now, since time.Time, step time.Duration) Window {
	t.Helper()
	w, err := Plan(now, since, step, MaxPoints)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestSumsAreKept has random counts at random times and a window at random: what a window says is the sum of what was counted
// in it, in whatever steps it is read.
func TestSumsAreKept(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 7))
		type event struct {
			at time.Time
			c  Counts
		}
		var events []event
		var s series
		now := start()
		longest := []time.Duration{5 * time.Second, 2 * time.Minute, 40 * time.Minute, 8 * time.Hour}[random.IntN(4)]
		for range 600 {
			now = now.Add(time.Duration(random.Int64N(int64(longest))))
			c := Counts{random.Int64N(1 << 40), random.Int64N(1 << 40), random.Int64N(1000)}
			s.add(now, c)
			events = append(events, event{now, c})
		}
		for range 40 {
			since := now.Add(-time.Duration(random.Int64N(int64(20 * 24 * time.Hour))))
			step := []time.Duration{0, 10 * time.Second, 30 * time.Second, time.Minute, 7 * time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour}[random.IntN(8)]
			w := plan(t, now, since, step)
			got := s.read(w)
			want := make([]Counts, w.Points())
			for _, e := range events {
				if !e.at.Before(w.From) && e.at.Before(w.Until) {
					i := int(e.at.Sub(w.From) / w.Step)
					want[i] = want[i].Plus(e.c)
				}
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("seed %d: %+v: step %d is %+v, want %+v", seed, w, i, got[i], want[i])
				}
			}
		}
		recent := now.Add(-50 * time.Minute) // all tiers reach so far
		fine := plan(t, now, recent.Truncate(10*time.Minute), 10*time.Second)
		for _, step := range []time.Duration{time.Minute, 10 * time.Minute} {
			if coarse := plan(t, now, fine.From, step); coarse.From.Equal(fine.From) && sum(s.read(coarse)) != sum(s.read(fine)) {
				t.Errorf("seed %d: %+v in steps of %s, %+v in steps of 10s", seed, sum(s.read(coarse)), step, sum(s.read(fine)))
			}
		}
	}
}

// TestClockSetBack: counts go on in the steps that are there, and none is lost; a clock set back for good begins anew.
func TestClockSetBack(t *testing.T) {
	var s series
	now := start().Add(30 * time.Minute)
	s.add(now, Counts{Written: 1})
	s.add(now.Add(-20*time.Minute), Counts{Written: 2})
	w := plan(t, now, now.Add(-time.Hour), 10*time.Second)
	if got := sum(s.read(w)); got.Written != 3 {
		t.Errorf("%+v", got)
	}
	back := now.Add(-365 * 24 * time.Hour)
	s.add(back, Counts{Written: 4})
	if got := sum(s.read(plan(t, back, back.Add(-time.Hour), 0))); got.Written != 4 {
		t.Errorf("a year back: %+v", got)
	}
	s.add(now, Counts{Written: 8}) // and forward again
	if got := sum(s.read(w)); got.Written != 8 {
		t.Errorf("after it was set right: %+v", got)
	}
}

func TestSeriesIsAsLargeAsStated(t *testing.T) {
	var s series
	steps := 0
	s.add(start(), Counts{Written: 1})
	for i := range s.rings {
		steps += len(s.rings[i].steps)
	}
	if steps*24 != SeriesBytes {
		t.Errorf("%d steps, stated are %d bytes", steps, SeriesBytes)
	}
	if all := SeriesBytes * (MaxJobs + MaxEndpoints); all > 9<<20 {
		t.Errorf("a book takes %d bytes", all)
	}
	for i := 1; i < len(tiers); i++ {
		if tiers[i].Step%tiers[i-1].Step != 0 || tiers[i].Span() <= tiers[i-1].Span() {
			t.Errorf("tier %d does not follow from the one before", i)
		}
	}
}

func TestPlan(t *testing.T) {
	now := start().Add(5*time.Minute + 3*time.Second)
	const hour, day = time.Hour, 24 * time.Hour
	for name, c := range map[string]struct {
		back, step time.Duration
		most       int
		tier       int
		wantStep   time.Duration
		points     int
		from       time.Duration // before now's step, 0: not looked at
	}{
		"an hour":           {back: 50 * time.Minute, most: MaxPoints, tier: 0, wantStep: 10 * time.Second, points: 301},
		"half a day":        {back: 12 * hour, most: MaxPoints, tier: 1, wantStep: time.Minute, points: 721},
		"ten days":          {back: 10 * day, most: MaxPoints, tier: 2, wantStep: 10 * time.Minute, points: 1441},
		"more than is kept": {back: 900 * day, most: MaxPoints + 2, tier: 2, wantStep: 10 * time.Minute, points: 2016},
		"few points":        {back: 12 * hour, most: 100, tier: 1, wantStep: 8 * time.Minute, points: 91},
		"fine, long ago":    {back: 12 * hour, step: 10 * time.Second, most: MaxPoints, tier: 0, wantStep: 10 * time.Second, points: 360},
		"hours":             {back: 3 * day, step: hour, most: MaxPoints, tier: 2, wantStep: hour, points: 73},
		"the future":        {back: -hour, most: MaxPoints, tier: 0, wantStep: 10 * time.Second, points: 1},
	} {
		w, err := Plan(now, now.Add(-c.back), c.step, c.most)
		if err != nil || w.Tier != c.tier || w.Step != c.wantStep || w.Points() != c.points || !w.Until.After(now) || w.Until.Sub(now) > w.Step {
			t.Errorf("%s: %+v with %d points, %v", name, w, w.Points(), err)
		}
		if err == nil && w.Check() != nil {
			t.Errorf("%s: %v", name, w.Check())
		}
	}
	for name, step := range map[string]time.Duration{"no multiple": 15 * time.Second, "small": time.Second, "large": 25 * hour, "negative": -time.Minute} {
		if _, err := Plan(now, now, step, MaxPoints); err == nil {
			t.Errorf("%s: a step of %s is taken", name, step)
		}
	}
	if _, err := Plan(now, now.Add(-hour), 10*time.Second, 100); err == nil {
		t.Error("too many points are taken")
	}
}

// TestForeignWindows: what another node asks for is checked.
func TestForeignWindows(t *testing.T) {
	good, err := Plan(start(), start().Add(-time.Hour), 0, MaxPoints)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Window){
		"tier":      func(w *Window) { w.Tier = 3 },
		"below":     func(w *Window) { w.Tier = -1 },
		"step":      func(w *Window) { w.Step = 15 * time.Second },
		"no step":   func(w *Window) { w.Step = 0 },
		"huge step": func(w *Window) { w.Step = 1 << 62 },
		"from":      func(w *Window) { w.From = w.From.Add(time.Second) },
		"backwards": func(w *Window) { w.From, w.Until = w.Until, w.From },
		"points":    func(w *Window) { w.From = time.Unix(0, 0) },
		"before":    func(w *Window) { w.From = time.Unix(-10, 0) },
	} {
		w := good
		if change(&w); w.Check() == nil {
			t.Errorf("%s: %+v is taken", name, w)
		}
	}
}

// TestWindowsHoldWhatIsAskedFor: a window begins no later than asked for, unless no tier that goes with the step reaches so far,
// and passes the check of other nodes.
func TestWindowsHoldWhatIsAskedFor(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for range 20_000 {
		now := start().Add(time.Duration(random.Int64N(int64(48 * time.Hour))))
		back := time.Duration(random.Int64N(int64([]time.Duration{time.Minute, time.Hour, 20 * time.Hour, 300 * time.Hour}[random.IntN(4)])))
		step := 10 * time.Second * time.Duration(1+random.IntN(8640))
		if random.IntN(2) == 0 {
			step = 10 * time.Minute * time.Duration(1+random.IntN(144))
		}
		w, err := Plan(now, now.Add(-back), step, MaxPoints)
		if step%tiers[1].Step != 0 && step > tiers[0].Span() || step%tiers[2].Step != 0 && step > tiers[1].Span() {
			if err == nil {
				t.Fatalf("a step of %s is taken", step)
			}
			continue
		}
		if err != nil || w.Check() != nil || w.Points() < 1 {
			t.Fatalf("%s back in steps of %s: %+v, %v, %v", back, step, w, err, w.Check())
		}
		reaches := step%tiers[2].Step == 0 || step%tiers[1].Step == 0 && back+2*step < tiers[1].Span() || back+2*step < tiers[0].Span()
		if reaches && w.From.After(now.Add(-back)) {
			t.Fatalf("%s back in steps of %s: begins at %s, %s late", back, step, w.From, w.From.Sub(now.Add(-back)))
		}
	}
}
