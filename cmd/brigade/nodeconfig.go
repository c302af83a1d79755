package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/conf"
)

// Ports of a node, unless others are given.
const (
	defaultHTTPPort   = 7460
	defaultPeerPort   = cluster.DefaultPeerPort
	defaultGossipPort = cluster.DefaultGossipPort
)

// nodeFlags are the flags of node start, which are keys of its configuration and variables as well.
type nodeFlags struct {
	data, join, bind, advertise, http string
	httpTLS                           string
	peerPort, gossipPort              int
	keyFile                           string
	bootstrapExpect                   int
	concurrency                       int
	memory, logLevel, stopTimeout     string
	logFormat, logFile, logMaxSize    string
	logMaxFiles                       int
	coreDumps                         bool
	metricsOpen                       bool
}

// nodeConfig is what a node runs with.
type nodeConfig struct {
	data            string   // absolute
	join            []string // gossip addresses, host:port
	bind, advertise string   // IP addresses of the peer and gossip ports; advertise may be a name, or ""
	http            string   // host:port
	httpTLS         bool     // the API speaks TLS
	peerPort        int
	gossipPort      int
	keyFile         string // "" where the node stays alone on loopback
	bootstrapExpect int
	concurrency     int
	memory          int64
	logLevel        slog.Level
	logFormat       string
	logFile         string // absolute; "" for stderr
	logMaxSize      int64  // bytes, a multiple of logUnit
	logMaxFiles     int    // the one in use included
	stopTimeout     time.Duration
	coreDumps       bool
	metricsOpen     bool // /metrics takes no token
}

func (f *nodeFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.data, "data", "", "data directory (default /var/lib/brigade for root, else $XDG_STATE_HOME/brigade/node)")
	fs.StringVar(&f.join, "join", "", "gossip addresses of nodes to join, HOST[:PORT],...")
	fs.StringVar(&f.bind, "bind", "", "IP address of the peer and gossip ports (default all with a cluster key, else 127.0.0.1)")
	fs.StringVar(&f.advertise, "advertise", "", "address at which the other nodes reach this one (default: found out)")
	fs.StringVar(&f.http, "http", "127.0.0.1:7460", "address of the API, ADDR[:PORT]; off loopback it needs a cluster key")
	fs.StringVar(&f.httpTLS, "http-tls", tlsAuto, "auto: TLS on the API's port unless it is on loopback; always: there as well")
	fs.BoolVar(&f.metricsOpen, "metrics-open", false, "answer /metrics without a token; whoever reaches the API's port reads names of jobs and stores")
	fs.IntVar(&f.peerPort, "peer-port", defaultPeerPort, "port of consensus and of calls between nodes")
	fs.IntVar(&f.gossipPort, "gossip-port", defaultGossipPort, "port of gossip")
	fs.StringVar(&f.keyFile, "cluster-key-file", "", "file with the cluster key; without one the node stays on loopback")
	fs.IntVar(&f.bootstrapExpect, "bootstrap-expect", 1, "nodes that must be there before a new cluster starts")
	fs.IntVar(&f.concurrency, "concurrency", 64, "store requests in flight at most")
	fs.StringVar(&f.memory, "memory", "96MiB", "bytes that all buffers hold together")
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&f.logFormat, "log-format", logText, "text: name=value, or json: a document a line")
	fs.StringVar(&f.logFile, "log-file", "", "file that the log goes to, put aside when it is full (default stderr)")
	fs.StringVar(&f.logMaxSize, "log-max-size", "100MiB", "size at which the log file is put aside, in whole MiB up to 10GiB")
	fs.IntVar(&f.logMaxFiles, "log-max-files", 10, "log files that are kept, with the one in use: 2 to 1000")
	fs.StringVar(&f.stopTimeout, "stop-timeout", "25s", "how long a stop in order may take, 1s to 1h; then the process ends as it is")
	fs.BoolVar(&f.coreDumps, "core-dumps", false, "allow core dumps and debuggers; the memory of a node holds keys and credentials")
}

// flagError is what is wrong with a flag's value, wherever that came from.
type flagError struct {
	flag   string
	origin string // "" for the command line
	err    error
}

func badFlag(flag, format string, args ...any) error {
	return misuse(&flagError{flag: flag, err: fmt.Errorf(format, args...)})
}

// Error names the place to mend.
func (e *flagError) Error() string {
	if e.origin == "" {
		return fmt.Sprintf("flag --%s: %v", e.flag, e.err)
	}
	return fmt.Sprintf("%s: %v", e.origin, e.err)
}

// Unwrap gives the cause.
func (e *flagError) Unwrap() error { return e.err }

// variableOf is the environment variable of a flag.
func variableOf(flag string) string {
	return "BRIGADE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// nodeConfigOf checks the flags and fills in what follows from others.
func (a *app) nodeConfigOf(f *nodeFlags) (nodeConfig, error) {
	c := nodeConfig{
		bind: f.bind, advertise: f.advertise, http: f.http, peerPort: f.peerPort, gossipPort: f.gossipPort, keyFile: f.keyFile,
		bootstrapExpect: f.bootstrapExpect, concurrency: f.concurrency, coreDumps: f.coreDumps, metricsOpen: f.metricsOpen,
	}
	var err error
	if c.data, err = a.dataDir(f.data); err != nil {
		return nodeConfig{}, err
	}
	if err := c.logLevel.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nodeConfig{}, badFlag("log-level", "%q is not known; allowed: debug, info, warn, error", f.logLevel)
	}
	if err := c.checkLog(f); err != nil {
		return nodeConfig{}, err
	}
	for _, port := range []struct {
		flag string
		n    int
	}{{"peer-port", f.peerPort}, {"gossip-port", f.gossipPort}} {
		if port.n < 0 || port.n > 65535 {
			return nodeConfig{}, badFlag(port.flag, "%d is not a port", port.n)
		}
	}
	if c.concurrency < 1 || c.concurrency > maxConcurrency {
		return nodeConfig{}, badFlag("concurrency", "%d is out of range; allowed: 1 to %d", c.concurrency, maxConcurrency)
	}
	if c.memory, err = conf.ParseSize(f.memory); err != nil || c.memory < minMemory || c.memory > maxMemory {
		return nodeConfig{}, badFlag("memory", "%q is not a size from 8MiB to 1TiB", f.memory)
	}
	if c.join, err = joinAddresses(f.join, f.gossipPort); err != nil {
		return nodeConfig{}, badFlag("join", "%w", err)
	}
	if c.stopTimeout, err = time.ParseDuration(f.stopTimeout); err != nil || c.stopTimeout < time.Second || c.stopTimeout > time.Hour {
		return nodeConfig{}, badFlag("stop-timeout", "%q is not a duration from 1s to 1h", f.stopTimeout)
	}
	if cluster.LooksLikeKey(c.keyFile) {
		return nodeConfig{}, badFlag("cluster-key-file", "this is a cluster key itself; give the name of a file that holds it")
	}
	if err := c.checkBootstrap(); err != nil {
		return nodeConfig{}, err
	}
	return c, c.checkAddresses(f.httpTLS)
}

// checkLog takes over where the log goes.
func (c *nodeConfig) checkLog(f *nodeFlags) (err error) {
	if c.logFormat = f.logFormat; c.logFormat != logText && c.logFormat != logJSON {
		return badFlag("log-format", "%q is not known; allowed: text, json", f.logFormat)
	}
	if f.logFile != "" {
		if c.logFile, err = filepath.Abs(f.logFile); err != nil {
			return refused(fmt.Errorf("find the log file: %w", err))
		}
	}
	c.logMaxSize, err = conf.ParseSize(f.logMaxSize)
	if err != nil || c.logMaxSize < logUnit || c.logMaxSize > maxLogSize || c.logMaxSize%logUnit != 0 {
		return badFlag("log-max-size", "%q is not a size of whole MiB from 1MiB to 10GiB", f.logMaxSize)
	}
	if c.logMaxFiles = f.logMaxFiles; c.logMaxFiles < 2 || c.logMaxFiles > maxLogFiles {
		return badFlag("log-max-files", "%d is out of range; allowed: 2 to %d", f.logMaxFiles, maxLogFiles)
	}
	return nil
}

// checkBootstrap keeps clusters of several to those that have a key.
func (c *nodeConfig) checkBootstrap() error {
	if c.bootstrapExpect < 1 || c.bootstrapExpect > cluster.MaxServers {
		return badFlag("bootstrap-expect", "%d is out of range; allowed: 1 to %d", c.bootstrapExpect, cluster.MaxServers)
	}
	if c.keyFile != "" {
		return nil
	}
	const needed = "a cluster of several nodes needs --cluster-key-file (see brigade keygen)"
	switch {
	case len(c.join) > 0:
		return badFlag("join", needed)
	case c.bootstrapExpect > 1:
		return badFlag("bootstrap-expect", needed)
	}
	return nil
}

// checkAddresses keeps what is not protected on loopback.
func (c *nodeConfig) checkAddresses(tls string) error {
	host, port, err := splitAddress(c.http, defaultHTTPPort)
	if err != nil {
		return badFlag("http", "%w", err)
	}
	c.http = net.JoinHostPort(host, port)
	if err := c.checkTLS(host, tls); err != nil {
		return err
	}
	if c.bind == "" {
		c.bind = "127.0.0.1"
		if c.keyFile != "" {
			c.bind = "0.0.0.0"
		}
	}
	if net.ParseIP(c.bind) == nil {
		return badFlag("bind", "%q is not an IP address", c.bind)
	}
	if c.keyFile == "" && !isLoopback(c.bind) {
		return badFlag("bind", "%s is not on loopback, and that needs --cluster-key-file (see brigade keygen)", c.bind)
	}
	return nil
}

func isLoopback(host string) bool { return api.IsLoopback(host) }

// joinAddresses splits a list of HOST[:PORT].
func joinAddresses(list string, port int) (all []string, err error) {
	for _, text := range strings.Split(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		host, p, err := splitAddress(text, port)
		if err != nil {
			return nil, err
		}
		if address := net.JoinHostPort(host, p); !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	return all, nil
}

// splitAddress splits HOST[:PORT]; an IPv6 address with a port is in brackets.
func splitAddress(text string, port int) (host, p string, err error) {
	host, p, err = net.SplitHostPort(text)
	if err != nil {
		host, p = strings.Trim(text, "[]"), strconv.Itoa(port)
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", "", fmt.Errorf("%q is not HOST[:PORT]", text)
		}
	}
	if n, err := strconv.Atoi(p); err != nil || n < 0 || n > 65535 || host == "" || strings.ContainsAny(host, "/ @") {
		return "", "", fmt.Errorf("%q is not HOST[:PORT]", text)
	}
	return host, p, nil
}

// dataDir is the data directory of this machine's node: as given, else BRIGADE_DATA, else the default.
func (a *app) dataDir(given string) (string, error) {
	if given == "" {
		given = a.getenv("BRIGADE_DATA")
	}
	if given == "" && runtime.GOOS != "windows" && os.Geteuid() == 0 {
		return "/var/lib/brigade", nil
	}
	if given == "" {
		home, err := a.stateHome()
		if err != nil {
			return "", err
		}
		return filepath.Join(home, "node"), nil
	}
	path, err := filepath.Abs(given)
	if err != nil {
		return "", refused(fmt.Errorf("find data directory: %w", err))
	}
	if path == filepath.Dir(path) {
		return "", badFlag("data", "the root of a file system is no place for a data directory")
	}
	return path, nil
}
