package servers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Nginx is a running web server. What is in Root is served at:
//
//	/files/      as it is, with ranges
//	/norange/    without ranges
//	/slow/       at 100 KB/s
//	/auth/       for the user "user" with the password that Password holds
//	/redirect/   as a redirect to /files/
//	/loop/       as a redirect to itself
//	/length/     without telling the length (SSI)
//	/gzip/       with the header Content-Encoding: gzip
//	/gone/, /forbidden/, /throttled/, /broken/  as 404, 403, 429 with Retry-After, 503
type Nginx struct {
	URL      string // http://127.0.0.1:PORT
	Root     string
	Password string
	access   string
	process  *process
}

// StartNginx starts nginx over an empty folder and ends it with the test.
func StartNginx(t testing.TB) *Nginx {
	t.Helper()
	n, err := startNginx(t.TempDir())
	if err != nil {
		t.Fatalf("start nginx: %v", err)
	}
	t.Cleanup(func() {
		if err := n.process.stop(); err != nil {
			t.Errorf("stop nginx: %v", err)
		}
	})
	return n
}

func startNginx(dir string) (*Nginx, error) {
	path, err := findNginx()
	if err != nil {
		return nil, err
	}
	n := &Nginx{Root: filepath.Join(dir, "www"), Password: "wordfortests", access: filepath.Join(dir, "access.log")}
	if err := os.MkdirAll(n.Root, 0o755); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	// {PLAIN} is one of the forms that auth_basic_user_file takes.
	users := filepath.Join(dir, "users")
	if err := os.WriteFile(users, []byte("user:{PLAIN}"+n.Password+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("write users: %w", err)
	}
	var failures error
	for range startAttempts {
		err := n.start(path, dir)
		if err == nil {
			return n, nil
		}
		failures = errors.Join(failures, err)
	}
	return nil, failures
}

// findNginx also looks where Debian puts it, which is not on every user's path.
func findNginx() (string, error) {
	path, err := findTool("nginx", "BRIGADE_NGINX")
	if err == nil {
		return path, nil
	}
	if path, err := exec.LookPath("/usr/sbin/nginx"); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%w (Debian: apt-get install nginx-light)", err)
}

func (n *Nginx) start(path, dir string) error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(n.config(addr, dir)), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	// One process: killing it leaves no worker behind.
	p, err := startProcess(path, []string{"-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log")}, nil)
	if err != nil {
		return err
	}
	if err := p.waitHealthy("http://" + addr + "/healthy"); err != nil {
		return errors.Join(err, p.stop())
	}
	n.URL, n.process = "http://"+addr, p
	return nil
}

func (n *Nginx) config(addr, dir string) string {
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "  %s_temp_path %s;\n", kind, filepath.Join(dir, "tmp-"+kind))
	}
	return fmt.Sprintf(`%s daemon off; master_process off; pid %s; error_log %s warn;
events { worker_connections 512; }
http {
  access_log %s;
%s  default_type application/octet-stream; types { text/plain txt; } etag on;
  server {
    listen %s;
    location = /healthy { return 200 ok; }
    location /files/ { alias %[7]s/; }
    location /norange/ { alias %[7]s/; max_ranges 0; }
    location /slow/ { alias %[7]s/; limit_rate 100k; }
    location /auth/ { alias %[7]s/; auth_basic x; auth_basic_user_file %[8]s; }
    location /redirect/ { rewrite ^/redirect/(.*)$ /files/$1 redirect; }
    location /loop/ { return 302 $request_uri; }
    location /length/ { alias %[7]s/; ssi on; ssi_types *; }
    location /gzip/ { alias %[7]s/; add_header Content-Encoding gzip; }
    location /gone/ { return 404; }
    location /forbidden/ { return 403; }
    location /throttled/ { add_header Retry-After 1 always; return 429; }
    location /broken/ { return 503; }
  }
}
`, user, filepath.Join(dir, "pid"), filepath.Join(dir, "error.log"), n.access, temp.String(), addr, n.Root, filepath.Join(dir, "users"))
}

// Write makes a file that is served.
func (n *Nginx) Write(t testing.TB, name string, data []byte) {
	t.Helper()
	path := filepath.Join(n.Root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatalf("make folder: %v", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
}

// Requests are the lines of the access log so far.
func (n *Nginx) Requests(t testing.TB) []string {
	t.Helper()
	data, err := os.ReadFile(n.access)
	if err != nil {
		t.Fatalf("read access log: %v", err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}
