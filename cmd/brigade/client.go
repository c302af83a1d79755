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
	c, err := a.client(f)
	if err != nil {
		return err
	}
	defer c.Close()
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
	return refusedOr(err)
}

// client finds the node and its token: by flag, by variable, else in the data directory of this machine's node.
func (a *app) client(f *clientFlags) (*api.Client, error) {
	addr, tokenFile := f.addr, f.tokenFile
	if addr == "" {
		addr = a.getenv("BRIGADE_ADDR")
	}
	if tokenFile == "" {
		tokenFile = a.getenv("BRIGADE_TOKEN_FILE")
	}
	if addr == "" || tokenFile == "" {
		data, err := a.dataDir(f.data)
		if err != nil {
			return nil, err
		}
		if addr == "" {
			if addr, err = api.ReadAddr(data); errors.Is(err, fs.ErrNotExist) {
				return nil, refused(fmt.Errorf("no node runs on this machine with the data directory %s; start one with brigade node start, or name one with --addr", data))
			} else if err != nil {
				return nil, refused(err)
			}
		}
		if tokenFile == "" {
			tokenFile = api.LocalTokenFile(data)
		}
	}
	token, err := api.ReadToken(tokenFile)
	if err != nil {
		return nil, refused(err)
	}
	c, err := api.NewClient(addr, token)
	if err != nil {
		return nil, misuse(err)
	}
	c.Version = versionOf()
	return c, nil
}
