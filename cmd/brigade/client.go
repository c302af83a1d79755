package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/pflag"

	"github.com/bucketbrigade/brigade/api"
)

// clientFlags say which node a command talks to.
type clientFlags struct{ addr, tokenFile, data string }

func (f *clientFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.addr, "addr", "", "address of a node's API (default: this machine's node, or BRIGADE_ADDR)")
	fs.StringVar(&f.tokenFile, "token-file", "", "file with a token for it (default DATA/token, or BRIGADE_TOKEN_FILE)")
	fs.StringVar(&f.data, "data", "", "data directory of this machine's node (or BRIGADE_DATA)")
}

// withClient calls a function with a client, until a signal comes. Its errors get their exit code.
func (a *app) withClient(parent context.Context, f *clientFlags, do func(context.Context, *api.Client) error) error {
	found, err := a.findNode(f)
	if err != nil {
		return err
	}
	c, err := found.client()
	if err != nil {
		return err
	}
	defer c.Close()
	defer a.renewToken(c, found.tokenFile)
	stopper := watchSignals(parent, a.signals)
	defer stopper.close()
	err = do(stopper.soft, c)
	if err != nil && stopper.soft.Err() != nil {
		return &exitError{codeInterrupted, errors.New("interrupted")}
	}
	var p *api.Problem
	if errors.As(err, &p) && p.Code() == api.CodeInvalidJob {
		return misuse(err)
	}
	if errors.As(err, &p) && p.Code() == api.CodeNoJob {
		return refused(fmt.Errorf("%w; brigade ctl status shows those there are", err))
	}
	var unanswered *api.CallError
	if errors.As(err, &unanswered) {
		return refused(found.explain(err))
	}
	return refusedOr(err)
}

// renewToken keeps a token file good for the time after a change of the cluster key. It is used for as long as it is good,
// so that a file which cannot be changed is no error now.
func (a *app) renewToken(c *api.Client, file string) {
	token, ok := c.Renewed()
	if !ok {
		return
	}
	if err := api.RenewToken(file, token); err != nil {
		fmt.Fprintf(a.err, "warning: the cluster key is being changed, and the token file %s is not good for the new one; it cannot be changed: %v; ask for a new one soon\n", file, err)
	}
}

// foundNode is a node to talk to, and how it was found.
type foundNode struct {
	addr, origin string
	tokenFile    string
}

// client makes a client for the node.
func (n foundNode) client() (*api.Client, error) {
	token, err := api.ReadToken(n.tokenFile)
	if err != nil {
		return nil, refused(err)
	}
	c, err := api.NewClient(n.addr, token)
	if err != nil {
		return nil, misuse(fmt.Errorf("%w (from %s)", err, n.origin))
	}
	c.Version = versionOf()
	return c, nil
}

// explain adds where the address came from to why there is no answer from it, and what to do where nobody is there.
func (n foundNode) explain(err error) error {
	if errors.Is(err, api.ErrUnreachable) && !errors.Is(err, api.ErrNotHTTP) {
		return fmt.Errorf("%w (from %s); is the node started? brigade node start runs it, --addr names another one", err, n.origin)
	}
	return fmt.Errorf("%w (from %s)", err, n.origin)
}

// client finds the node and its token, and makes a client.
func (a *app) client(f *clientFlags) (*api.Client, error) {
	n, err := a.findNode(f)
	if err != nil {
		return nil, err
	}
	return n.client()
}

// findNode finds the node and its token: by flag, by variable, else in the data directory of this machine's node.
func (a *app) findNode(f *clientFlags) (n foundNode, err error) {
	n = foundNode{addr: f.addr, origin: "--addr", tokenFile: f.tokenFile}
	if n.addr == "" {
		n.addr, n.origin = a.getenv("BRIGADE_ADDR"), "BRIGADE_ADDR"
	}
	if n.tokenFile == "" {
		n.tokenFile = a.getenv("BRIGADE_TOKEN_FILE")
	}
	if n.addr != "" && n.tokenFile != "" {
		return n, nil
	}
	data, err := a.dataDir(f.data)
	if err != nil {
		return n, err
	}
	if n.addr == "" {
		n.origin = api.AddrFile(data)
		if n.addr, err = api.ReadAddr(data); errors.Is(err, fs.ErrNotExist) {
			return n, refused(fmt.Errorf("no node runs on this machine with the data directory %s; start one with brigade node start, or name one with --addr", data))
		} else if err != nil {
			return n, refused(err)
		}
	}
	if n.tokenFile == "" {
		n.tokenFile = api.LocalTokenFile(data)
	}
	return n, nil
}
