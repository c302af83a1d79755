package notify

import (
	"fmt"
	"math"
	"mime"
	"strings"
	"testing"
	"time"
)

var began = time.Date(2026, 3, 1, 22, 15, 0, 0, time.UTC)

// example is a notice of a kind, with all that it may tell.
func example(k Kind, id uint64) Notice {
	n := Notice{ID: id, Kind: k, At: began.Add(9 * time.Hour), Node: "node-3 (10.0.0.3)", Reason: "3 of 100 objects differ at cos://archive-1250000000/"}
	for _, a := range kinds {
		if a.kind == k && a.ofJob {
			n.Job = exampleJob()
		}
	}
	return n
}

func exampleJob() *Job {
	j := &Job{
		ID: "photos-2026", Type: "copy", Source: "s3://photos/2026/?region=eu-west-1", Destination: "oss://archive/photos/?region=cn-hangzhou", State: "failed",
		Pass: 1, Started: began, Ended: began.Add(8*time.Hour + 43*time.Minute),
		Objects:    Counts{Found: 12_345_678, Copied: 12_300_000, Verified: 12_300_000, Skipped: 45_000, Vanished: 12, Failed: 666},
		BytesFound: 93 << 40, BytesCopied: 92 << 40,
		Failures: []Failures{
			{"not found", 400, "2026/01/<script>alert(1)</script>.jpg", "gone from the source"},
			{"mismatch", 266, "2026/02/大文件 b.raw", "md5 differs from what was sent"},
		},
	}
	for i := range 200 {
		at := float64(i) / 200
		j.Rates = append(j.Rates, Rate{At: began.Add(time.Duration(at * float64(j.Ended.Sub(began)))), BytesPerSecond: 3e9 * (1 + 0.3*math.Sin(at*25)) * min(1, at*20)})
	}
	return j
}

func decoded(t *testing.T, header string) string {
	t.Helper()
	text, err := new(mime.WordDecoder).DecodeHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestKindsAreWhole: each kind has a severity, and in each language a subject and a text of its own; templates name nothing that
// notices of the kind lack.
func TestKindsAreWhole(t *testing.T) {
	subjects := map[string]Kind{}
	for _, k := range Kinds() {
		if s := SeverityOf(k); s < Info || s > Critical {
			t.Errorf("%s has the severity %v", k, s)
		}
		for _, lang := range Languages() {
			m := render(t, lang, example(k, 1))
			if other, twice := subjects[lang+m.Subject]; twice {
				t.Errorf("%s and %s have the same subject in %s", k, other, lang)
			}
			subjects[lang+m.Subject] = k
			for _, text := range []string{m.Subject, m.Text, m.HTML} {
				if strings.Contains(text, "<no value>") || strings.Contains(text, "{{") || strings.Contains(text, "%!") || len(text) < 10 {
					t.Errorf("%s in %s: %q", k, lang, text)
				}
			}
			if strings.ContainsAny(m.Subject, "\r\n") {
				t.Errorf("%s in %s: a subject of several lines", k, lang)
			}
		}
	}
	entries, err := templates.ReadDir("templates/en")
	if err != nil || len(entries) != len(kinds)+1 {
		t.Errorf("%d templates for %d kinds and the words, %v", len(entries), len(kinds), err)
	}
}

// TestLanguagesHaveTheSameWords: a word that one language lacks would show by its name.
func TestLanguagesHaveTheSameWords(t *testing.T) {
	var words [2]map[string]string
	for i, lang := range Languages() {
		r, err := NewRenderer(Cluster{}, lang)
		if err != nil {
			t.Fatal(err)
		}
		words[i] = r.words
	}
	for i := range words {
		for name, w := range words[i] {
			if w == "" || words[1-i][name] == "" {
				t.Errorf("%q is not in both languages", name)
			}
		}
	}
}

// TestOutsideTextIsHarmless: keys, names and reasons that hold HTML, line breaks or marks of direction.
func TestOutsideTextIsHarmless(t *testing.T) {
	n := example(JobFailed, 1)
	n.Job.ID = "x\r\nBcc: all@example.com"
	n.Job.Source = `s3://b/<img src=x onerror=alert(1)>`
	n.Reason = "<b>`<script>x</script>`</b>\u202e\x00"
	m := render(t, "en", n)
	for _, bad := range []string{"<script", "<img src=x", "<b>`", "\u202e", "\x00"} {
		if strings.Contains(m.HTML, bad) {
			t.Errorf("the HTML holds %q", bad)
		}
	}
	if strings.ContainsAny(m.Subject, "\r\n") || strings.Contains(m.Text, "\nBcc:") {
		t.Errorf("a line break came through: %q\n%s", m.Subject, m.Text)
	}
	long := example(JobPaused, 2)
	long.Reason = strings.Repeat("很长 ", 100_000)
	if m := render(t, "zh", long); len(m.HTML) > 50_000 || len([]rune(m.Subject)) > 250 {
		t.Errorf("HTML of %d bytes, subject of %d", len(m.HTML), len(m.Subject))
	}
}

// TestMessageIDs: the same notices give the same ID in every process; others, and those of other clusters, do not.
func TestMessageIDs(t *testing.T) {
	one := render(t, "en", example(JobDone, 1)).ID
	if again := render(t, "zh", example(JobDone, 1)).ID; again != one {
		t.Errorf("%s, and again %s", one, again)
	}
	seen := map[string]bool{one: true}
	other, err := NewRenderer(Cluster{Name: "other"}, "en")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := other.Render([]Notice{example(JobDone, 1)})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{elsewhere.ID, render(t, "en", example(JobDone, 2)).ID, render(t, "en", example(JobDone, 1), example(JobDone, 2)).ID} {
		if seen[id] {
			t.Errorf("%s is not unique", id)
		}
		seen[id] = true
	}
}

// TestDigest: several notices are one message, of the highest severity among them.
func TestDigest(t *testing.T) {
	m := render(t, "en", example(NodeJoined, 1), example(NodeDead, 2), example(JobDone, 3))
	if m.Severity != Critical || !strings.Contains(m.Subject, "3 notices") || strings.Count(m.HTML, "<h1") != 3 || len(m.Charts) != 1 {
		t.Errorf("%v %q, %d charts", m.Severity, m.Subject, len(m.Charts))
	}
}

func TestChartsOfOddSeries(t *testing.T) {
	for name, rates := range map[string][]Rate{
		"nothing moved":  {{At: began}, {At: began.Add(time.Second)}},
		"one moment":     {{At: began, BytesPerSecond: 1}, {At: began, BytesPerSecond: 2}},
		"days":           {{At: began, BytesPerSecond: 1e12}, {At: began.AddDate(0, 0, 9), BytesPerSecond: 1}},
		"not a number":   {{At: began, BytesPerSecond: math.NaN()}, {At: began.Add(time.Hour), BytesPerSecond: math.Inf(1)}},
		"below nothing":  {{At: began, BytesPerSecond: -5}, {At: began.Add(time.Hour), BytesPerSecond: 5}},
		"back and forth": {{At: began.Add(time.Hour), BytesPerSecond: 5}, {At: began, BytesPerSecond: 5}},
	} {
		n := example(JobDone, 1)
		n.Job.Rates = rates
		r, err := NewRenderer(Cluster{Name: "test"}, "en")
		if err != nil {
			t.Fatal(err)
		}
		if m, err := r.Render([]Notice{n}); err != nil || len(m.HTML) == 0 {
			t.Errorf("%s: %v", name, fmt.Sprint(err))
		}
	}
}
