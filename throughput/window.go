package throughput

import (
	"fmt"
	"time"
)

// MaxPoints bounds the points of a window.
const MaxPoints = 2016

// Window is a stretch of the past in equal steps, all from one tier. Nodes that are given the same window count alike.
type Window struct {
	From, Until time.Time     // both at the boundary of a step; the last step may not be over
	Step        time.Duration // a multiple of the tier's
	Tier        int           // index in Tiers
}

// Points is how many steps the window has.
func (w Window) Points() int {
	if w.Step <= 0 || !w.Until.After(w.From) {
		return 0
	}
	return int(w.Until.Sub(w.From) / w.Step)
}

// Check refuses a window that Plan would not make.
func (w Window) Check() error {
	switch {
	case w.Tier < 0 || w.Tier >= len(tiers):
		return fmt.Errorf("there is no tier %d", w.Tier)
	case w.Step <= 0 || w.Step%tiers[w.Tier].Step != 0 || w.Step > tiers[w.Tier].Span():
		return fmt.Errorf("a step of %s does not go with steps of %s", w.Step, tiers[w.Tier].Step)
	case w.From.Unix() < 0 || w.From.Unix()%int64(w.Step/time.Second) != 0 || w.Until.Sub(w.From)%w.Step != 0:
		return fmt.Errorf("the bounds are not those of steps of %s", w.Step)
	case w.Points() < 1 || w.Points() > MaxPoints:
		return fmt.Errorf("%d points; allowed: 1 to %d", w.Points(), MaxPoints)
	}
	return nil
}

// StepError is a step that cannot be had.
type StepError struct {
	Step    time.Duration
	Problem string
}

// Error names the step and what is wrong with it.
func (e *StepError) Error() string { return fmt.Sprintf("a step of %s %s", e.Step, e.Problem) }

// Plan makes the window from since until the step that now is in. Step 0 takes the finest that reaches so far and makes at most
// most points; any other step must be a multiple of 10 s up to a day. What lies further back than a tier reaches is left out: the
// window says where it begins. An error is a *StepError.
func Plan(now, since time.Time, step time.Duration, most int) (Window, error) {
	since = maxTime(maxTime(since, now.Add(-tiers[len(tiers)-1].Span())), time.Unix(0, 0))
	if since.After(now) {
		since = now
	}
	if step != 0 && (step < tiers[0].Step || step%tiers[0].Step != 0 || step > 24*time.Hour) {
		return Window{}, &StepError{step, "is not a multiple of 10s up to 24h"}
	}
	w := Window{Step: step}
	if step == 0 {
		w.Tier = tierFor(now.Sub(since), 0)
		each := tiers[w.Tier].Step
		points := int64(now.Sub(since)/each) + 2
		w.Step = each * time.Duration((points+int64(most)-1)/int64(most))
	}
	seconds := int64(w.Step / time.Second)
	begin, until := since.Unix()/seconds*seconds, (now.Unix()/seconds+1)*seconds
	if step != 0 {
		w.Tier = tierFor(time.Duration(until-begin)*time.Second, step)
	}
	tier := tiers[w.Tier]
	if w.Step > tier.Span() {
		return Window{}, &StepError{step, fmt.Sprintf("is longer than steps of %s are kept", tier.Step)}
	}
	reach := until - int64(tier.Span()/time.Second) // the oldest step kept, or one before it
	from := max(0, begin, (reach+seconds-1)/seconds*seconds)
	w.From, w.Until = time.Unix(from, 0).UTC(), time.Unix(until, 0).UTC()
	if w.Points() > most {
		return Window{}, &StepError{step, fmt.Sprintf("makes %d points of that time; allowed: %d", w.Points(), most)}
	}
	return w, w.Check()
}

// tierFor is the finest tier that goes with a step and reaches back so far; where none reaches, the one that reaches furthest.
func tierFor(back, step time.Duration) int {
	best := 0
	for i, t := range tiers {
		if step != 0 && step%t.Step != 0 {
			break
		}
		if best = i; t.Span() >= back {
			break
		}
	}
	return best
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
