package notify

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	htmltemplate "html/template"
	"regexp"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-runewidth"
)

//go:embed templates
var templates embed.FS

// Languages are those that messages can be in.
func Languages() []string { return []string{"en", "zh"} }

// Message is what is sent.
type Message struct {
	ID       string // without angle brackets; equal notices give equal IDs, so that a message sent twice can be told
	Severity Severity
	Subject  string
	Text     string
	HTML     string
	Charts   []Chart
	Notices  []Notice
}

// Chart is a picture that HTML shows as cid:Name.
type Chart struct {
	Name string
	PNG  []byte
}

// Renderer makes messages in one language. It is safe for concurrent use.
type Renderer struct {
	cluster Cluster
	lang    string
	words   map[string]string
	subject map[Kind]*texttemplate.Template
	lead    map[Kind]*texttemplate.Template
	text    *texttemplate.Template
	html    *htmltemplate.Template
}

// NewRenderer makes messages of a cluster in one of Languages.
func NewRenderer(cluster Cluster, lang string) (*Renderer, error) {
	if !slices.Contains(Languages(), lang) {
		return nil, fmt.Errorf("language %q: want one of %s", lang, strings.Join(Languages(), ", "))
	}
	r := &Renderer{cluster: cluster, lang: lang, subject: map[Kind]*texttemplate.Template{}, lead: map[Kind]*texttemplate.Template{}}
	if err := r.readWords(); err != nil {
		return nil, err
	}
	for _, k := range kinds {
		if err := r.readKind(k.kind); err != nil {
			return nil, fmt.Errorf("notices of kind %s in %s: %w", k.kind, lang, err)
		}
	}
	return r, r.readLayouts()
}

// readWords reads the words that all messages share: name=word, a line each.
func (r *Renderer) readWords() error {
	data, err := templates.ReadFile("templates/" + r.lang + "/words.txt")
	if err != nil {
		return err
	}
	r.words = map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		name, word, ok := strings.Cut(lines.Text(), "=")
		if !ok {
			return fmt.Errorf("no word: %q", lines.Text())
		}
		r.words[name] = word
	}
	return nil
}

// readKind reads the subject, which is the first line, and what follows it.
func (r *Renderer) readKind(k Kind) error {
	data, err := templates.ReadFile("templates/" + r.lang + "/" + string(k) + ".txt")
	if err != nil {
		return err
	}
	subject, lead, ok := strings.Cut(string(data), "\n")
	if !ok || strings.TrimSpace(lead) == "" {
		return errors.New("the template has no second line")
	}
	funcs := texttemplate.FuncMap{"count": count}
	if r.subject[k], err = texttemplate.New("subject").Funcs(funcs).Parse(subject); err != nil {
		return err
	}
	r.lead[k], err = texttemplate.New("lead").Funcs(funcs).Parse(strings.TrimSpace(lead))
	return err
}

func (r *Renderer) readLayouts() error {
	funcs := map[string]any{
		"word": r.word, "wordOf": r.wordOf, "time": showTime, "facts": r.facts, "totals": r.totals, "count": count, "clip": clip, "color": color,
		"pad": pad, "right": right, "code": code,
	}
	var err error
	if r.html, err = htmltemplate.New("layout.html").Funcs(funcs).ParseFS(templates, "templates/layout.html"); err != nil {
		return err
	}
	r.text, err = texttemplate.New("layout.txt").Funcs(funcs).ParseFS(templates, "templates/layout.txt")
	return err
}

// item is one notice as the layouts show it.
type item struct {
	Notice      Notice
	Severity    Severity
	Title, Lead string
	Chart       string // name of its chart, "" for none
}

// Render makes one message of notices, in the order given.
func (r *Renderer) Render(notices []Notice) (*Message, error) {
	if len(notices) == 0 {
		return nil, errors.New("no notices")
	}
	m := &Message{ID: r.messageID(notices), Notices: notices}
	page := struct {
		Lang, Subject string
		Cluster       Cluster
		Items         []item
	}{Lang: r.lang, Cluster: r.cluster}
	for i := range notices {
		it, err := r.item(&notices[i], i, m)
		if err != nil {
			return nil, err
		}
		m.Severity = max(m.Severity, it.Severity)
		page.Items = append(page.Items, it)
	}
	m.Subject = r.subjectOf(page.Items)
	page.Subject = m.Subject
	var text, web bytes.Buffer
	if err := r.text.Execute(&text, page); err != nil {
		return nil, fmt.Errorf("render text: %w", err)
	}
	if err := r.html.Execute(&web, page); err != nil {
		return nil, fmt.Errorf("render HTML: %w", err)
	}
	m.Text, m.HTML = text.String(), web.String()
	return m, nil
}

func (r *Renderer) item(n *Notice, i int, m *Message) (item, error) {
	it := item{Notice: *n, Severity: SeverityOf(n.Kind)}
	if r.subject[n.Kind] == nil {
		return it, fmt.Errorf("notices of kind %q have no template", n.Kind)
	}
	data := *n
	data.Reason = strings.TrimRight(line(n.Reason, 500), ".")
	if data.Job == nil {
		data.Job = &Job{} // templates of jobs may look at it
	}
	var title, lead bytes.Buffer
	if err := r.subject[n.Kind].Execute(&title, data); err != nil {
		return it, fmt.Errorf("render subject: %w", err)
	}
	if err := r.lead[n.Kind].Execute(&lead, data); err != nil {
		return it, fmt.Errorf("render notice: %w", err)
	}
	it.Title, it.Lead = line(title.String(), 200), line(lead.String(), 1500)
	if n.Job != nil {
		png, err := drawRates(n.Job.Rates)
		if err != nil {
			return it, err
		}
		if png != nil {
			it.Chart = fmt.Sprintf("rates%d", i)
			m.Charts = append(m.Charts, Chart{it.Chart, png})
		}
	}
	return it, nil
}

// subjectOf is that of the only notice, or says how many there are.
func (r *Renderer) subjectOf(items []item) string {
	title := items[0].Title
	if len(items) > 1 {
		title = r.wordOf("several", count(int64(len(items)))) + ": " + title
	}
	return line(fmt.Sprintf("[%s] %s", r.cluster.Name, title), 250)
}

// messageID is the same for the same notices of a cluster.
func (r *Renderer) messageID(notices []Notice) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", r.cluster.Name)
	for i := range notices {
		fmt.Fprintf(h, " %d %s %d", notices[i].ID, notices[i].Kind, notices[i].At.UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)[:16]) + "@brigade"
}

// row is a line of a table.
type row struct {
	Name, Value string
	Strong, Bad bool
}

// facts say what a job is.
func (r *Renderer) facts(j *Job) []row {
	rows := []row{{Name: r.word("job"), Value: fmt.Sprintf("%s (%s, %s %d)", j.ID, r.word(j.Type), r.word("pass"), j.Pass)}, {Name: r.word("source"), Value: j.Source}}
	if j.Destination != "" {
		rows = append(rows, row{Name: r.word("destination"), Value: j.Destination})
	}
	rows = append(rows, row{Name: r.word("state"), Value: r.word(j.State)})
	if !j.Started.IsZero() {
		rows = append(rows, row{Name: r.word("started"), Value: showTime(j.Started)})
	}
	if !j.Ended.IsZero() {
		rows = append(rows, row{Name: r.word("ended"), Value: showTime(j.Ended)}, row{Name: r.word("took"), Value: j.Ended.Sub(j.Started).Round(time.Second).String()})
	}
	for i := range rows {
		rows[i].Value = line(rows[i].Value, 500)
	}
	return rows
}

// totals are a job's counts; outcomes that no object had are left out.
func (r *Renderer) totals(j *Job) []row {
	c := &j.Objects
	rows := []row{{Name: r.word("found"), Value: count(c.Found), Strong: true}}
	if j.Ended.IsZero() {
		rows[0] = row{Name: r.word("listed"), Value: count(c.Listed), Strong: true}
	}
	for _, o := range []struct {
		name string
		n    int64
		bad  bool
	}{
		{"copied", c.Copied, false}, {"verified", c.Verified, false}, {"skipped", c.Skipped, false}, {"filtered", c.Filtered, false},
		{"vanished", c.Vanished, false}, {"changed", c.Changed, false}, {"failed", c.Failed, true},
	} {
		if o.n > 0 {
			rows = append(rows, row{Name: r.word(o.name), Value: count(o.n), Bad: o.bad})
		}
	}
	return append(rows, row{Name: r.word("bytes"), Value: humanize.IBytes(positive(j.BytesFound)), Strong: true},
		row{Name: r.word("bytes copied"), Value: humanize.IBytes(positive(j.BytesCopied))})
}

func positive(n int64) uint64 { return uint64(max(n, 0)) }

// wordOf gives a word with something in it.
func (r *Renderer) wordOf(name, value string) string {
	return strings.ReplaceAll(r.word(name), "{{.}}", value)
}

// word gives a word in the renderer's language; one that is missing shows by its name.
func (r *Renderer) word(name string) string {
	if w, ok := r.words[name]; ok {
		return w
	}
	return name
}

func count(n int64) string { return humanize.Comma(n) }

func showTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

func color(s Severity) htmltemplate.CSS {
	return map[Severity]htmltemplate.CSS{Info: "#0b69a3", Warning: "#a15c07", Critical: "#b42318"}[s]
}

// codeSpan is what stands between back quotes in a text.
var codeSpan = regexp.MustCompile("`([^`]*)`")

// code escapes a text and shows what stands between back quotes as commands.
func code(text string) htmltemplate.HTML {
	escaped := html.EscapeString(text)
	return htmltemplate.HTML(codeSpan.ReplaceAllString(escaped,
		`<code style="font-family:ui-monospace,Menlo,Consolas,monospace;font-size:13px;background:#f3f4f6;padding:1px 4px">$1</code>`)) //nolint:gosec // escaped above
}

// line makes one printable line of a text, cut to so many letters.
func line(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\t', r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), r == utf8.RuneError, unicode.Is(unicode.Bidi_Control, r):
			return '\uFFFD'
		}
		return r
	}, text)
	return clip(text, most)
}

// clip cuts a text to so many letters.
func clip(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

// pad and right fill a text to a width, counting wide letters as two.
func pad(text string, width int) string { return runewidth.FillRight(text, width) }

func right(text string, width int) string { return runewidth.FillLeft(text, width) }
