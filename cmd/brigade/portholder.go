package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/cluster"
)

// nameFlag says which flag gives another port, where it is a port that keeps a node from its start.
func nameFlag(err error, bind string) error {
	var port *cluster.PortError
	if !errors.As(err, &port) {
		return err
	}
	return fmt.Errorf("%w%s; --%s-port gives another", err, heldBy(err, net.JoinHostPort(bind, strconv.Itoa(port.Number))), port.Port)
}

// heldBy tells which process listens on an address that is in use, as far as this system and this user can know; else "".
func heldBy(err error, address string) string {
	if !strings.Contains(err.Error(), "in use") { // gossip's library passes the text on only
		return ""
	}
	_, text, splitErr := net.SplitHostPort(address)
	port, convErr := strconv.ParseUint(text, 10, 16)
	if splitErr != nil || convErr != nil {
		return ""
	}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		for _, socket := range socketsAt("/proc/net/"+table, port) {
			if pid, name := ownerOf(socket); pid != "" {
				return fmt.Sprintf(" by process %s (%s)", pid, name)
			}
		}
	}
	return ""
}

// socketsAt are the sockets of a table of the kernel's that are bound to a port and have no other side.
func socketsAt(table string, port uint64) (sockets []string) {
	f, err := os.Open(table)
	if err != nil {
		return nil // no such table on this system
	}
	defer f.Close()
	const local, remote, inode = 1, 2, 9
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) <= inode || !strings.HasSuffix(fields[remote], ":0000") {
			continue
		}
		if _, hex, ok := strings.Cut(fields[local], ":"); ok {
			if n, err := strconv.ParseUint(hex, 16, 16); err == nil && n == port {
				sockets = append(sockets, "socket:["+fields[inode]+"]")
			}
		}
	}
	return sockets
}

// ownerOf finds the process that has a socket open.
func ownerOf(socket string) (pid, name string) {
	open, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "", ""
	}
	for _, path := range open {
		if target, err := os.Readlink(path); err != nil || target != socket {
			continue
		}
		process := filepath.Dir(filepath.Dir(path))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil {
			return "", ""
		}
		return filepath.Base(process), strings.TrimSpace(string(name))
	}
	return "", ""
}
