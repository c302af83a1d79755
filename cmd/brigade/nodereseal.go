package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// resealEvery is the time between two looks for what is sealed with an old cluster key.
const resealEvery = 500 * time.Millisecond

// resealJobs seals with the key in use what is sealed with the old one, while this node leads and the key changes, until
// ctx ends. A job at a time: an entry is no larger than the job's own was.
func (n *node) resealJobs(ctx context.Context) {
	tick := time.NewTicker(resealEvery)
	defer tick.Stop()
	told := map[string]bool{} // jobs whose values cannot be opened
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if n.place.members.Leader() != n.dir.NodeID {
			continue
		}
		var keys fsm.Keys
		var jobs []*fsm.Job
		settings := map[string]string{}
		n.machine.Read(func(s *fsm.State) {
			if keys = s.Keys(); keys.Old != "" {
				jobs = s.SealedWith(keys.Old)
				for _, name := range s.SettingsSealedWith(keys.Old) {
					settings[name] = s.Setting(name)
				}
			}
		})
		if keys.Old == "" || n.keys.inUse()[0].ID() != keys.Current {
			clear(told)
			continue
		}
		for name, value := range settings {
			if err := n.resealSetting(ctx, name, value); err != nil && ctx.Err() == nil && !told[name] {
				told[name] = true
				n.logger.Warn("setting cannot be sealed again, will retry; give it anew, or take it away, to have done with the old cluster key",
					"setting", name, "error", err)
			}
		}
		for _, job := range jobs {
			if err := n.resealJob(ctx, job, keys.Old); err != nil && ctx.Err() == nil && !told[job.ID] {
				told[job.ID] = true
				n.logger.Warn("credentials cannot be sealed again, will retry; give them anew, or remove the job, to have done with the old cluster key",
					"job", job.ID, "error", err)
			}
		}
	}
}

// resealJob seals one job's values again. What was changed meanwhile is looked at the next time.
func (n *node) resealJob(ctx context.Context, job *fsm.Job, old string) error {
	spec, err := decodeSpec(job)
	if err != nil {
		return err
	}
	cmd := fsm.ResealJob{Job: job.ID, Nonce: job.Nonce}
	for role, kept := range map[store.Role]*fsm.Side{store.RoleSource: &spec.Source, store.RoleDestination: spec.Destination} {
		if kept == nil {
			continue
		}
		side, err := keptSide(job, role, kept)
		if err != nil {
			return err
		}
		values, err := sealing{n.desk.sealer, job.ID, job.Nonce, side}.reseal(kept.Sealed, old)
		if err != nil {
			return err
		}
		cmd.Values = append(cmd.Values, values...)
	}
	if len(cmd.Values) == 0 {
		return nil
	}
	result, err := n.leader.Propose(ctx, cmd)
	if err = errors.Join(err, result.Err); errors.Is(err, fsm.ErrSealChanged) || errors.Is(err, fsm.ErrNoJob) {
		return nil
	}
	return err
}

// resealSetting seals the value of a setting again.
func (n *node) resealSetting(ctx context.Context, name, value string) error {
	secret, err := api.OpenSetting(n.desk.sealer, name, value)
	if err != nil {
		return err
	}
	old, _ := fsm.OpenableSetting(value) // it was opened
	was := sha256.Sum256(old)
	result, err := n.leader.Propose(ctx, fsm.ResealSetting{Name: name, Was: was[:], Sealed: n.desk.sealer.Seal([]byte(secret), api.SettingBinding(name))})
	if err = errors.Join(err, result.Err); errors.Is(err, fsm.ErrSealChanged) {
		return nil
	}
	return err
}

// reseal opens what is sealed with an old key, and seals it with the one in use.
func (s sealing) reseal(sealed map[string][]byte, old string) (values []fsm.Resealed, err error) {
	for _, field := range slices.Sorted(maps.Keys(sealed)) {
		value := sealed[field]
		if fsm.SealedWith(value) != old {
			continue
		}
		clear, err := s.sealer.Open(value, s.binding(field))
		if err != nil {
			return nil, fmt.Errorf("%s of the %s: %w", field, s.side.role, err)
		}
		was := sha256.Sum256(value)
		values = append(values, fsm.Resealed{
			Destination: s.side.role == store.RoleDestination, Field: field, Was: was[:], Sealed: s.sealer.Seal(clear, s.binding(field)),
		})
	}
	return values, nil
}
