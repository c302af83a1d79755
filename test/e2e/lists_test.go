package e2e_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
	"github.com/bucketbrigade/brigade/test/servers"
)

// writeLines makes a file of lines and returns its path.
func writeLines(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// someBytes are the same in every run.
func someBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13 + n)
	}
	return b
}

// TestURLListFromNginx: every object is right, or its failure classed right.
func TestURLListFromNginx(t *testing.T) {
	n, b := servers.StartNginx(t), newBucket(t)
	host := strings.TrimPrefix(n.URL, "http://")
	want := map[string][]byte{}
	lines := []string{"\xef\xbb\xbf# what nginx serves"}
	for i := range 40 {
		name := fmt.Sprintf("d%d/f %d+中.bin", i%3, i)
		data := someBytes(i * 700)
		n.Write(t, name, data)
		for _, place := range []string{"files", "norange", "auth", "redirect", "length", "gzip"} {
			key := place + "/" + name
			sum := md5.Sum(data)
			line := n.URL + "/" + place + "/" + strings.NewReplacer(" ", "%20", "中", "%E4%B8%AD").Replace(name)
			line += []string{"", "\t", "\t" + key, fmt.Sprintf("\t\t%d", len(data)), fmt.Sprintf("\t%s\t%d\t%x", key, len(data), sum)}[i%5]
			lines = append(lines, line+[]string{"", "\r"}[i%2])
			want["to/"+key] = data
		}
	}
	big := someBytes(70 << 20) // several parts, or one stream
	n.Write(t, "big", big)
	n.Write(t, "slow", someBytes(300_000))
	want["to/files/big"], want["to/norange/big"], want["to/slow/slow"] = big, big, someBytes(300_000)
	lines = append(lines, n.URL+"/files/big", n.URL+"/norange/big", n.URL+"/slow/slow", n.URL+"/files/not-there", n.URL+"/gone/1",
		n.URL+"/forbidden/2?signature=verysecret", n.URL+"/throttled/3", n.URL+"/broken/4", n.URL+"/loop/5",
		n.URL+"/files/big\twrong-size\t5", n.URL+"/files/slow\twrong-sum\t\t"+strings.Repeat("0", 32))
	list := writeLines(t, lines...)
	c := command{env: append(b.env("DST"), "BRIGADE_SRC_ACCESS_KEY=user", "BRIGADE_SRC_SECRET_KEY="+n.Password)}
	r := c.run(t, "import", "urllist:"+list+"?auth_host="+host, b.location("to/"), "--json", "--yes").want(t, 3)
	d := r.document(t)
	if d.Objects["copied"] != int64(len(want)) || d.Objects["vanished"] != 2 || d.Objects["failed"] != 6 {
		t.Errorf("%v", d.Objects)
	}
	classes := map[string]string{}
	for _, e := range d.Errors {
		classes[e.Key] = e.Class
		if strings.Contains(e.Reason, "verysecret") {
			t.Errorf("%s: a signature is shown: %s", e.Key, e.Reason)
		}
	}
	for key, class := range map[string]string{"forbidden/2": "auth", "throttled/3": "throttled", "broken/4": "throttled", "loop/5": "permanent",
		"wrong-size": "mismatch", "wrong-sum": "mismatch"} {
		if classes[key] != class {
			t.Errorf("%s is classed %q, want %q", key, classes[key], class)
		}
	}
	got := b.holdings(t, "")
	for key, data := range want {
		sum := md5.Sum(data)
		if o, ok := got[key]; !ok || o.md5 != hex.EncodeToString(sum[:]) || o.size != int64(len(data)) {
			t.Errorf("%s: %v", key, o)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d objects at the destination, want %d", len(got), len(want))
	}
	for _, line := range n.Requests(t) {
		if strings.Contains(line, " - user ") && !strings.Contains(line, "/auth/") && !strings.Contains(line, host) && strings.Contains(line, n.Password) {
			t.Errorf("a password in the log: %s", line)
		}
	}
	if strings.Contains(r.stdout+r.stderr, n.Password) {
		t.Error("the password is shown")
	}
	// Again: only what failed is asked for in full.
	d = c.run(t, "import", "urllist:"+list+"?auth_host="+host, b.location("to/"), "--json", "--yes").want(t, 3).document(t)
	if d.Pass != 2 || d.Objects["copied"] != 0 || d.Objects["skipped"] != int64(len(want)) {
		t.Errorf("second pass: %d, %v", d.Pass, d.Objects)
	}
}

// TestURLListBehindURL reads the list itself from a web server, with and without ranges, and from a bucket.
func TestURLListBehindURL(t *testing.T) {
	n, b := servers.StartNginx(t), newBucket(t)
	n.Write(t, "a", someBytes(1000))
	text := "# a list\n" + n.URL + "/files/a\tx\n" + n.URL + "/norange/a\ty\t1000\n"
	n.Write(t, "list.txt", []byte(text))
	b.put(t, "lists/urls.txt", text)
	c := command{env: append(b.env("SRC"), b.env("DST")...)}
	for i, ref := range []string{n.URL + "/files/list.txt?version=2", n.URL + "/norange/list.txt", b.location("lists/urls.txt")} {
		to := filepath.Join(t.TempDir(), "to")
		d := c.run(t, "import", "urllist:"+ref, to, "--id", fmt.Sprint("from-", i), "--json", "--yes").want(t, 0).document(t)
		if d.Objects["copied"] != 2 || d.Bytes["found"] != 2000 {
			t.Errorf("%s: %v %v", ref, d.Objects, d.Bytes)
		}
		for _, name := range []string{"x", "y"} {
			if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(got, someBytes(1000)) {
				t.Errorf("%s: %s: %d bytes, %v", ref, name, len(got), err)
			}
		}
	}
	r := c.run(t, "import", "urllist:"+n.URL+"/files/no-list.txt", t.TempDir(), "--yes").want(t, 1)
	if !strings.Contains(r.stderr, "404") {
		t.Errorf("a list that is not there: %s", r.stderr)
	}
	r = c.run(t, "import", "urllist:"+n.URL+"/length/list.txt", t.TempDir(), "--yes").want(t, 1)
	if !strings.Contains(r.stderr, "neither an ETag nor a time") {
		t.Errorf("a list whose changes cannot be seen: %s", r.stderr)
	}
}

// TestURLListThroughCuts cuts the connections to nginx again and again, and kills the process in the middle.
func TestURLListThroughCuts(t *testing.T) {
	n, to := servers.StartNginx(t), filepath.Join(t.TempDir(), "to")
	p := faults.Start(t, faults.Target{URL: n.URL})
	var lines []string
	for i := range 400 {
		name := fmt.Sprintf("f%03d", i)
		n.Write(t, name, someBytes(i*500))
		lines = append(lines, p.URL+"/files/"+name)
	}
	p.Add(faults.Rule{Match: func(key string) bool { return strings.HasSuffix(key, "7") }, Fault: faults.Fault{CutResponse: 60_000}})
	p.Add(faults.Rule{Match: func(key string) bool { return strings.HasSuffix(key, "3") }, Times: 20, Fault: faults.Fault{Status: 503}})
	p.Add(faults.Rule{Fault: faults.Fault{Latency: 30 * time.Millisecond}})
	list := writeLines(t, lines...)
	c := command{}
	args := []string{"import", "urllist:" + list, to, "--json", "--yes", "--set", "task.objects=20", "--concurrency", "8"}
	run := c.start(t, args...)
	for deadline := time.After(time.Minute); p.Count(s3op.GetObject) < 300; {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatal("nothing is read")
		}
	}
	run.kill(t)
	d := c.run(t, args...).want(t, 0).document(t)
	if d.Pass != 1 || d.Objects["found"] != 400 || d.Objects["copied"] != 400 {
		t.Errorf("%d: %v", d.Pass, d.Objects)
	}
	for i := range 400 {
		name := fmt.Sprintf("f%03d", i)
		if got, err := os.ReadFile(filepath.Join(to, "files", name)); err != nil || !bytes.Equal(got, someBytes(i*500)) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestKeysFrom copies only what a list names: a file of this machine, one behind a file URL, an object of the source's bucket.
func TestKeysFrom(t *testing.T) {
	b := newBucket(t)
	source := filepath.Join(t.TempDir(), "source")
	for _, name := range []string{"a", "b b", "c/d", "c/e", "f\tg", "not/named"} {
		writeFile(t, filepath.Join(source, name), 1000, 1)
		b.put(t, "src/"+name, name+" in the bucket")
	}
	text := []string{"# some keys", "a\t1000\r", "", "b b", "c/d\t", `\b64:Zgln`, "gone"}
	list := writeLines(t, text...)
	b.put(t, "lists/keys.txt", strings.ReplaceAll(strings.Join(text, "\n"), "a\t1000", "a"))
	c := command{env: append(b.env("SRC"), b.env("DST")...)}
	copied := []string{"a", "b b", "c/d", "f\tg"}
	check := func(name string, d document, keys []string) {
		t.Helper()
		slices.Sort(keys)
		if d.Objects["copied"] != 4 || d.Objects["vanished"] != 1 || d.Objects["listed"] != 5 || !slices.Equal(keys, copied) {
			t.Errorf("%s: %v, keys %q", name, d.Objects, keys)
		}
	}
	below := func(prefix string) (keys []string) {
		for _, key := range b.keys(t) {
			if rest, ok := strings.CutPrefix(key, prefix); ok {
				keys = append(keys, rest)
			}
		}
		return keys
	}
	for name, ref := range map[string]string{"path": list, "file URL": "file://" + list} {
		d := c.run(t, "import", source, b.location(name+"/"), "--set", "filter.keys_from="+ref, "--json", "--yes").want(t, 0).document(t)
		check(name, d, below(name+"/"))
	}
	at := b.location("lists/keys.txt")
	d := c.run(t, "import", b.location("src/"), filepath.Join(source, "..", "out"), "--set", "filter.keys_from="+at, "--json", "--yes").want(t, 0).document(t)
	var files []string
	for _, name := range copied {
		if _, err := os.Stat(filepath.Join(source, "..", "out", name)); err == nil {
			files = append(files, name)
		}
	}
	check("bucket", d, files)
	// A list that changed is another job's, or the next one's.
	d = c.run(t, "import", source, b.location("path/"), "--set", "filter.keys_from="+list, "--json", "--yes").want(t, 0).document(t)
	if d.Pass != 2 || d.Objects["skipped"] != 4 {
		t.Errorf("again: %d, %v", d.Pass, d.Objects)
	}
	if err := os.WriteFile(list, []byte("c/e\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d = c.run(t, "import", source, b.location("path/"), "--set", "filter.keys_from="+list, "--json", "--yes").want(t, 0).document(t)
	if d.Objects["listed"] != 1 || d.Objects["copied"] != 1 {
		t.Errorf("with another list: %v", d.Objects)
	}
	// Dry runs and verify jobs go by the list, too.
	r := c.run(t, "import", source, b.location("dry/"), "--set", "filter.keys_from="+list, "--dry-run").want(t, 0)
	if !strings.Contains(r.stdout, "1 object,") || len(below("dry/")) != 0 {
		t.Errorf("dry run: %s", r.stdout)
	}
	d = c.run(t, "import", "--type", "verify", source, b.location("path/"), "--set", "filter.keys_from="+list, "--json", "--yes").want(t, 0).document(t)
	if d.Objects["verified"] != 1 || d.Objects["extra"] != 0 {
		t.Errorf("verify: %v", d.Objects)
	}
}

// TestFailedKeysAreAList: what failed in one job is what the next one copies.
func TestFailedKeysAreAList(t *testing.T) {
	b := newBucket(t)
	source := filepath.Join(t.TempDir(), "source")
	for _, name := range []string{"a", "b\tb", "#c", `\d`, "e"} {
		writeFile(t, filepath.Join(source, name), 500, 1)
	}
	p := b.behind(t)
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Match: func(key string) bool { return key != "a" }, Fault: faults.Fault{Status: 400, Code: "KeyTooLongError"}})
	c := command{env: b.env("DST")}
	c.run(t, "import", source, b.location(""), "--id", "first", "--yes").want(t, 3)
	p.Clear()
	failed := filepath.Join(c.state, "jobs", "first", "failed.list")
	d := c.run(t, "import", source, b.location(""), "--id", "second", "--set", "filter.keys_from="+failed, "--json", "--yes").want(t, 0).document(t)
	if d.Objects["listed"] != 4 || d.Objects["copied"] != 4 {
		t.Errorf("%v", d.Objects)
	}
	if keys := b.keys(t); !slices.Equal(keys, []string{"#c", `\d`, "a", "b\tb", "e"}) {
		t.Errorf("the bucket holds %q", keys)
	}
}

// TestExampleOfAURLList runs the example of the documentation.
func TestExampleOfAURLList(t *testing.T) {
	n, to := servers.StartNginx(t), filepath.Join(t.TempDir(), "to")
	n.Write(t, "2019/a.jpg", someBytes(100))
	n.Write(t, "2019/b.jpg", someBytes(200))
	dir := t.TempDir()
	for _, name := range []string{"urllist.yaml", "urllist.txt"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", "examples", name))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.NewReplacer("urllist:urllist.txt", "urllist:"+filepath.Join(dir, "urllist.txt"), "https://www.example.com/photos/", n.URL+"/auth/",
			"www.example.com", strings.TrimPrefix(n.URL, "http://"), "s3://archive/photos/", to).Replace(string(text))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := command{env: []string{"WEB_USER=user", "WEB_PASSWORD=" + n.Password}}
	d := c.run(t, "import", filepath.Join(dir, "urllist.yaml"), "--json", "--yes").want(t, 0).document(t)
	if d.Objects["copied"] != 2 {
		t.Errorf("%v", d.Objects)
	}
	if got, err := os.ReadFile(filepath.Join(to, "first.jpg")); err != nil || !bytes.Equal(got, someBytes(100)) {
		t.Errorf("first.jpg: %d bytes, %v", len(got), err)
	}
}

// TestListsThatAreWrong: one line says what is wrong and where, before anything begins.
func TestListsThatAreWrong(t *testing.T) {
	source, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	c := command{}
	at := func(lines ...string) string { return writeLines(t, lines...) }
	for name, tc := range map[string]struct {
		code int
		want string
		args []string
	}{
		"malformed":   {2, "line 2: not a URL with http:// or https://", []string{"urllist:" + at("http://h/a", "h/b"), to}},
		"duplicate":   {2, "line 4: names the same key as line 1", []string{"urllist:" + at("http://h/a", "", "http://h/b", "http://other/x\ta"), to}},
		"empty":       {2, "the list names nothing", []string{"urllist:" + at("# nothing"), to}},
		"missing":     {1, "no such file", []string{"urllist:/not/there.txt", to}},
		"destination": {2, "urllist is a source only", []string{source, "urllist:" + at("http://h/a")}},
		"option":      {2, `unknown option "auth"`, []string{"urllist:" + at("http://h/a") + "?auth=1", to}},
		"credentials": {1, "auth_host names hosts", []string{"urllist:" + at("http://h/a") + "?auth_host=h", to}},
		"keys":        {2, `line 1: "x" is not a size`, []string{source, to, "--set", "filter.keys_from=" + at("a\tx")}},
		"both":        {2, "filter.keys_from: does not go with", []string{"urllist:" + at("http://h/a"), to, "--set", "filter.keys_from=" + at("a")}},
		"file URL":    {1, "line 3: names the same key as line 1", []string{source, to, "--set", "filter.keys_from=file://" + at("a", "b", "a")}},
		"no object":   {1, "no such object", []string{source, to, "--set", "filter.keys_from=file://" + source}},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.run(t, append([]string{"import", "--yes"}, tc.args...)...).want(t, tc.code)
			if text := strings.TrimSpace(r.stderr); !strings.Contains(text, tc.want) || strings.Count(text, "\n") > 0 {
				t.Errorf("want %q in one line:\n%s", tc.want, text)
			}
		})
	}
}

// TestFigureListMemory: memory does not grow with the length of a list.
func TestFigureListMemory(t *testing.T) {
	lines := 300_000
	if shared.full {
		lines = 10_000_000
	}
	path := filepath.Join(t.TempDir(), "list.txt")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&b, "https://www.example.com/some/folder/of/medium/depth/%09d.jpg\tsome/folder/%09d.jpg\t%d\n", i*7%lines, i, i)
		if b.Len() > 1<<20 || i == lines-1 {
			if _, err := b.WriteTo(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	c := command{}
	// The list is checked, packed, scanned and counted, and nothing is asked for.
	r := c.run(t, "import", "urllist:"+path, filepath.Join(t.TempDir(), "to"), "--exclude", "*", "--json", "--yes").want(t, 0)
	if d := r.document(t); d.Objects["listed"] != int64(lines) || d.Objects["filtered"] != int64(lines) {
		t.Errorf("%v", d.Objects)
	}
	const limit = 300 << 20
	record(t, r.maxRSS < limit, fmt.Sprintf("a list of %d lines in bounded memory", lines), "300 MiB",
		fmt.Sprintf("%d MiB, %.1f s", r.maxRSS>>20, r.elapsed.Seconds()))
}
