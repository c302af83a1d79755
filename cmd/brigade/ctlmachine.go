package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/bucketbrigade/brigade/api"
)

// keyWidth is how much of a key a table shows.
const keyWidth = 40

// machineDocument is what `ctl status --ip --json` prints: the machines at an address, and what each does.
type machineDocument struct {
	Leader string        `json:"leader"`
	Nodes  []machineWork `json:"nodes"`
	api.Freshness
}

// machineWork is one machine with the tasks that it holds.
type machineWork struct {
	api.Machine
	Tasks []api.HeldTask `json:"tasks"`
}

// machinesAt finds the machines at an address, HOST or HOST:PORT, and asks what they do.
func machinesAt(ctx context.Context, c *api.Client, address string) (*machineDocument, error) {
	all, err := c.Machines(ctx)
	if err != nil {
		return nil, err
	}
	d := &machineDocument{Leader: all.Leader, Freshness: all.Freshness}
	var known []string
	for _, m := range all.Nodes {
		if !isAt(m, address) {
			known = append(known, m.Address)
			continue
		}
		held, err := c.MachineTasks(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		d.Nodes = append(d.Nodes, machineWork{m, held.Tasks})
	}
	if len(d.Nodes) == 0 {
		slices.Sort(known)
		return nil, refused(fmt.Errorf("no machine has the address %q; those known have %s", address, strings.Join(known, ", ")))
	}
	return d, nil
}

// isAt tells whether a machine has an address, with or without its port.
func isAt(m api.Machine, address string) bool {
	if m.Address == address {
		return true
	}
	host, _, err := net.SplitHostPort(m.Address)
	return err == nil && host == strings.Trim(address, "[]")
}

// machines are the machines without their tasks.
func (d *machineDocument) machines() (all []api.Machine) {
	for _, n := range d.Nodes {
		all = append(all, n.Machine)
	}
	return all
}

// machineText shows machines and their tasks.
func machineText(d *machineDocument, paint painter) string {
	var parts []string
	for _, n := range d.Nodes {
		parts = append(parts, machineTable(&api.Machines{Leader: d.Leader, Nodes: []api.Machine{n.Machine}}, paint))
		if len(n.Tasks) == 0 {
			parts = append(parts, "it holds no task")
			continue
		}
		g := grid{header: []string{"task", "job", "kind", "settled", "bytes", "from"}, right: []int{1, 4, 5}, give: []int{2, 6}}
		for _, held := range n.Tasks {
			g.add(fmt.Sprint(held.ID), held.Job, string(held.Kind), humanize.Comma(held.Objects), bytesOf(held.Bytes),
				text.Trim(printable(held.From), keyWidth))
		}
		parts = append(parts, g.String())
	}
	return strings.Join(parts, "\n\n")
}
