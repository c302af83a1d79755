package transfer

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// askedText is a list whose every reading asks the task for parts.
type askedText struct {
	Text
	ask func()
}

func (t askedText) Open(ctx context.Context, version string, off int64) (io.ReadCloser, error) {
	t.ask()
	return t.Text.Open(ctx, version, off)
}

// pack puts a text into a bench's spool.
func pack(t *testing.T, s Spool, text string) Text {
	t.Helper()
	name, err := PackText(t.Context(), strings.NewReader(text), s.Put)
	if err != nil {
		t.Fatalf("pack: %v", err)
	}
	return SpoolText(s, name)
}

// TestListScansCountOnce works through lists in which some keys are not at the source, with scans that are split, yield, stop
// and are taken over at random: every line is counted once.
func TestListScansCountOnce(t *testing.T) {
	splits := 0
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			src, dst := newMemStore(), newMemStore()
			const keys = 1500
			fillStore(src, keys, seed)
			lines := []string{}
			for key, o := range src.objects {
				line := EncodeKey(key)
				if o.Size%2 == 0 {
					line += fmt.Sprintf("\t%d", o.Size)
				}
				lines = append(lines, line)
			}
			const missing = 120
			for i := range missing {
				lines = append(lines, fmt.Sprintf("not/there %d", i))
			}
			rnd := rand.New(rand.NewPCG(seed, 5))
			rnd.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
			for i := range lines {
				lines[i] += []string{"\n", "\r\n", "\n\n", "\n# a comment\r\n"}[rnd.IntN(4)]
			}
			src.set("not/listed", []byte("stays"))
			b := newSplitBench(t, src, dst, seed)
			b.job.CutObjects = 70
			b.yields = int(seed)
			b.job.List = &KeyList{Text: askedText{pack(t, b.n.Spool, "\xef\xbb\xbf"+strings.Join(lines, "")), b.ask}}
			b.every = 1
			if sum, err := b.job.List.Check(t.Context(), t.TempDir()); err != nil || sum.Lines != keys+missing {
				t.Fatalf("check: %+v, %v", sum, err)
			}
			b.next++
			b.todo = append(b.todo, Task{ID: b.next, Kind: Scan})
			b.run()
			c := b.totals
			if c.Listed != keys+missing || c.Copied != keys || c.Vanished != missing {
				t.Errorf("%+v", c)
			}
			if dst.data("not/listed") != nil || len(dst.objects) != keys {
				t.Errorf("%d objects at the destination", len(dst.objects))
			}
			src.remove("not/listed")
			b.equal(src, dst)
			splits += b.splits[Scan]
			// The next pass finds everything there.
			b.again()
			b.next++
			b.todo = append(b.todo, Task{ID: b.next, Kind: Scan})
			b.run()
			// What a task that was taken over finds equal counts as recovered: for this bench every pass began long ago.
			if c := b.totals; c.Skipped+c.Recovered != keys || c.Vanished != missing || c.Copied != c.Recovered || c.BytesMoved != 0 {
				t.Errorf("second pass: %+v", c)
			}
		})
	}
	if t.Logf("splits of scans: %d", splits); splits == 0 {
		t.Error("no scan was split")
	}
}

// TestListedSizesAreChecked: what a list says of an object is held against it, by retries too.
func TestListedSizesAreChecked(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	src.set("good", []byte("12345"))
	src.set("long", []byte("123456"))
	src.set("sum", []byte("abc"))
	src.set("right sum", []byte("def"))
	right := md5.Sum([]byte("def"))
	b := newBench(t, urlStore{src}, dst)
	b.job.List = &KeyList{URLs: true, Text: pack(t, b.n.Spool, strings.Join([]string{
		"http://h/good\tgood\t5", "http://h/long\tlong\t5", "http://h/sum\tsum\t\t" + strings.Repeat("00", 16),
		"http://h/right%20sum\tmoved/here\t3\t" + hex.EncodeToString(right[:]),
	}, "\n"))}
	b.pass()
	if c := b.totals; c.Copied != 2 || c.Failed != 2 || b.classes[string(store.Mismatch)] != 2 {
		t.Fatalf("%+v, %v", c, b.classes)
	}
	if string(dst.data("moved/here")) != "def" || dst.data("long") != nil || dst.data("sum") != nil {
		t.Error("wrong objects at the destination")
	}
	if r := b.record("long"); !strings.Contains(r.Reason, "the list says 5 bytes, the source has 6") {
		t.Errorf("reason: %s", r.Reason)
	}
	b.retry()
	if c := b.totals; c.Copied != 2 || c.Failed != 2 {
		t.Fatalf("a retry forgot what the list says: %+v", c)
	}
	// The source is put right, for one of them.
	src.set("long", []byte("98765"))
	b.retry()
	if c := b.totals; c.Copied != 3 || c.Failed != 1 || string(dst.data("long")) != "98765" || dst.data("sum") != nil {
		t.Errorf("after the retry: %+v", c)
	}
}

// retry works through the keys that failed.
func (b *bench) retry() {
	b.t.Helper()
	var failed []Segment
	failed, b.failed = b.failed, nil
	for _, seg := range failed {
		b.next++
		task := Task{ID: b.next, Kind: List, Segment: seg, EndLine: seg.Lines, Retry: true}
		if done, err := b.one(&task); !done || err != nil {
			b.t.Fatalf("retry: %v, %v", done, err)
		}
	}
}

// urlStore is a source whose names are URLs.
type urlStore struct{ *memStore }

func (s urlStore) name(key string) string {
	return strings.ReplaceAll(strings.TrimPrefix(key, "http://h/"), "%20", " ")
}

func (s urlStore) Stat(ctx context.Context, key string) (store.Object, error) {
	return s.memStore.Stat(ctx, s.name(key))
}

func (s urlStore) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	return s.memStore.Open(ctx, s.name(key), opts)
}

// TestListThatChanges lets the list change between two parts of a pass.
func TestListThatChanges(t *testing.T) {
	src, dst, lists := newMemStore(), newMemStore(), newMemStore()
	var text strings.Builder
	for i := range 3000 {
		key := fmt.Sprintf("k%04d", i)
		src.set(key, []byte(key))
		text.WriteString(key + "\n")
	}
	lists.set("list", []byte(text.String()))
	b := newBench(t, src, dst)
	b.job.List = &KeyList{Text: StoreText(lists, "list")}
	b.yields = 100
	b.next++
	task := Task{ID: b.next, Kind: Scan}
	if done, err := b.one(&task); done || err != nil || task.From == "" {
		t.Fatalf("the scan does not stand in the middle: %v, %v, from %q", done, err, task.From)
	}
	lists.set("list", []byte("other\n"+text.String()))
	if done, err := b.one(&task); done || store.ClassOf(err) != store.Changed {
		t.Errorf("the scan goes on in another list: %v, %v", done, err)
	}
}

func TestListLines(t *testing.T) {
	type want struct {
		ListLine
		ok  bool
		err string
	}
	for text, w := range map[string]want{
		"":                  {},
		"# a\tb\tc":         {},
		"a b/c":             {ListLine{Key: "a b/c", Size: -1}, true, ""},
		"a\t":               {ListLine{Key: "a", Size: -1}, true, ""},
		"a\t0":              {ListLine{Key: "a"}, true, ""},
		`\b64:/w==` + "\t7": {ListLine{Key: "\xff", Size: 7}, true, ""},
		"a\t-1":             {err: "not a size"},
		"a\t1e3":            {err: "not a size"},
		"a\t1\t2":           {err: "3 columns"},
		`\x`:                {err: "is written as"},
		`\b64:???`:          {err: "decode key"},
		"\t5":               {err: "empty"},
		"a\rb":              {err: "carriage return"},
	} {
		check(t, ParseKeyLine, text, w.ListLine, w.ok, w.err)
	}
	sum := strings.Repeat("0a", 16)
	for text, w := range map[string]want{
		"":                          {},
		"#http://h/x":               {},
		"http://h/a%20b/c?s=1":      {ListLine{Key: "a b/c", Origin: "http://h/a%20b/c?s=1", Size: -1}, true, ""},
		"https://h/a\tb\t5\t" + sum: {ListLine{Key: "b", Origin: "https://h/a", Size: 5, MD5: strings.Repeat("\x0a", 16)}, true, ""},
		"http://h/a\t\t5":           {ListLine{Key: "a", Origin: "http://h/a", Size: 5}, true, ""},
		"http://h/%ff":              {ListLine{Key: "\xff", Origin: "http://h/%ff", Size: -1}, true, ""},
		"http://h":                  {err: "no path"},
		"http://h/\tx":              {ListLine{Key: "x", Origin: "http://h/", Size: -1}, true, ""},
		"h/a":                       {err: "http://"},
		"ftp://h/a":                 {err: "http://"},
		"http:///a":                 {err: "no host"},
		"http://u:p@h/a":            {err: "credentials"},
		"http://h/a#b":              {err: "fragment"},
		"http://h/a b":              {err: "blank"},
		"http://h/a   b.jpg":        {err: "blank"},
		"http://h/%zz":              {err: "not a URL"},
		"http://h/a\tb\tx":          {err: "not a size"},
		"http://h/a\tb\t1\txyz":     {err: "not an MD5"},
		"http://h/a\tb\t1\t\t":      {err: "5 columns"},
	} {
		check(t, ParseURLLine, text, w.ListLine, w.ok, w.err)
	}
}

func check(t *testing.T, parse func(string) (ListLine, bool, error), text string, want ListLine, ok bool, message string) {
	t.Helper()
	l, is, err := parse(text)
	if message != "" {
		if err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%q: error %v, want %q", text, err, message)
		}
		return
	}
	if err != nil || is != ok || ok && l != want {
		t.Errorf("%q: %+v, %v, %v", text, l, is, err)
	}
}

// FuzzListLine parses anything: what is taken can be written down and read again as the same.
func FuzzListLine(f *testing.F) {
	for _, text := range []string{"", "a", "a\t5", "#", `\b64:YQ==`, "http://h/a\tb\t5\t", "https://[::1]:8/x?y#z", "http://h/%2e%2e/\t\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "\n") {
			return // no line
		}
		if l, ok, err := ParseKeyLine(text); err == nil && ok {
			if l.Key == "" || l.Size < -1 || l.Origin != "" {
				t.Fatalf("%q gives %+v", text, l)
			}
			again, ok, err := ParseKeyLine(EncodeKey(l.Key))
			if err != nil || !ok || again.Key != l.Key {
				t.Fatalf("%q: key %q comes back as %q: %v", text, l.Key, again.Key, err)
			}
		}
		l, ok, err := ParseURLLine(text)
		if err != nil || !ok {
			return
		}
		if l.Key == "" || l.Size < -1 || !strings.HasPrefix(strings.ToLower(l.Origin), "http") || len(l.MD5) != 0 && len(l.MD5) != 16 || strings.ContainsAny(l.Origin, "\t\r\n #") {
			t.Fatalf("%q gives %+v", text, l)
		}
		// It goes through a segment unchanged.
		data, err := encodeEntries([]entry{{src: *l.object(), verdict: Unseen, size: l.Size}})
		if err != nil {
			t.Fatal(err)
		}
		line, err := decompress(data)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseEntry(strings.TrimSuffix(string(line), "\n"))
		if err != nil || back.src.Key != l.Key || back.src.Origin != l.Origin || back.size != l.Size || back.src.Sums.MD5 != l.MD5 {
			t.Fatalf("%q: %+v came back as %+v: %v", text, l, back, err)
		}
	})
}

// TestListProblems: lines that are wrong and keys that come twice are named by their numbers, in one line.
func TestListProblems(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb\n":                    "",
		"a\nb\t5\nb\n":              "line 3: names the same key as line 2; remove one of them",
		"# x\n\na\tx\nb\na\t1\t2\n": `line 3: "x" is not a size in bytes; line 5: 3 columns; allowed: KEY, or KEY TAB SIZE`,
		"a\n" + strings.Repeat("x", MaxLine+1) + "\nb\n": "line 2: longer than 16384 bytes",
		strings.Repeat("a\t\t\t\n", 9):                   "and 4 more",
	} {
		l := &KeyList{Text: pack(t, &memSpool{data: map[[32]byte][]byte{}}, text)}
		_, err := l.Check(t.Context(), t.TempDir())
		var bad *ListError
		if want == "" && err != nil || want != "" && (!errors.As(err, &bad) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.30q: %v, want %q", text, err, want)
		}
	}
}

// TestRepeatsInFiles finds keys that come again far away, with many sorted runs, and leaves no files.
func TestRepeatsInFiles(t *testing.T) {
	dir := t.TempDir()
	r, err := newRepeats(dir)
	if err != nil {
		t.Fatal(err)
	}
	r.most = 100
	want := map[int64]int64{}
	for i := range int64(5000) {
		key := i
		if i%977 == 500 {
			key = i / 2
			want[i] = i / 2
		}
		if i == 4000 {
			key, want[i] = 250, 250 // a third time
		}
		if err := r.add(fmt.Sprint(key), i+1); err != nil {
			t.Fatal(err)
		}
	}
	err = r.find(func(line, first int64) {
		if w, ok := want[line-1]; !ok || w != first-1 {
			t.Errorf("line %d names the key of line %d", line, first)
		}
		delete(want, line-1)
	})
	if err != nil || len(want) > 0 {
		t.Errorf("not found: %v, %v", want, err)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestPackedTexts reads a text of several segments from many places.
func TestPackedTexts(t *testing.T) {
	var b bytes.Buffer
	rnd := rand.New(rand.NewPCG(1, 1))
	for b.Len() < 2*textPiece+1000 {
		fmt.Fprintf(&b, "%d/%x\n", b.Len(), rnd.Uint64())
	}
	b.WriteString("the last line has no end")
	text := b.String()
	spool := &memSpool{data: map[[32]byte][]byte{}}
	packed := pack(t, spool, text)
	if again := pack(t, spool, text); again.(*spoolText).name != packed.(*spoolText).name {
		t.Error("the same text has another name")
	}
	if parts, err := TextSegments(t.Context(), spool, packed.(*spoolText).name); err != nil || len(parts) != 3 || len(spool.data) != 4 {
		t.Errorf("%d parts of %d segments: %v", len(parts), len(spool.data), err)
	}
	size, version, err := packed.Stat(t.Context())
	if err != nil || size != int64(len(text)) {
		t.Fatalf("%d bytes of %d: %v", size, len(text), err)
	}
	for _, off := range []int{0, 1, textPiece - 1, textPiece, textPiece + 5, len(text) - 1, len(text)} {
		r, err := packed.Open(t.Context(), version, int64(off))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != text[off:] {
			t.Errorf("from %d: %d bytes, %v", off, len(got), err)
		}
	}
	if _, err := packed.Open(t.Context(), "other", 0); store.ClassOf(err) != store.Changed {
		t.Errorf("another version: %v", err)
	}
}
