package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// description is a job as it is sent to a node and shown by look: the keys of a job file, as JSON.
type description struct {
	ID          string              `json:"id,omitempty"`
	Type        string              `json:"type"`
	Source      sideDescription     `json:"source"`
	Destination *sideDescription    `json:"destination,omitempty"`
	Filter      filterDescription   `json:"filter,omitzero"`
	Compare     string              `json:"compare,omitempty"`
	Verify      string              `json:"verify,omitempty"`
	Task        taskDescription     `json:"task"`
	Preserve    preserveDescription `json:"preserve"`
	Limits      limitsDescription   `json:"limits,omitzero"`
	Archived    string              `json:"archived,omitempty"`
	Restore     *restoreDescription `json:"restore,omitempty"`
	Notify      notifyDescription   `json:"notify,omitzero"`
	MaxFailures int64               `json:"max_failures,omitempty"`
	Priority    int                 `json:"priority,omitempty"`
	List        string              `json:"list,omitempty"`
}

type sideDescription struct {
	URL          string   `json:"url"`
	AccessKey    revealed `json:"access_key,omitzero"`
	SecretKey    revealed `json:"secret_key,omitzero"`
	SessionToken revealed `json:"session_token,omitzero"`
}

type filterDescription struct {
	Include []string   `json:"include,omitempty"`
	Exclude []string   `json:"exclude,omitempty"`
	Since   *time.Time `json:"since,omitempty"`
	MinSize int64      `json:"min_size,omitempty"`

	KeysFrom string `json:"keys_from,omitempty"`
}

type taskDescription struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

type limitsDescription struct {
	Bandwidth string `json:"bandwidth,omitempty"`
}

type notifyDescription struct {
	Mail []string `json:"mail,omitempty"`
}

type preserveDescription struct {
	Metadata     bool   `json:"metadata"`
	Tags         bool   `json:"tags,omitempty"`
	ACL          bool   `json:"acl,omitempty"`
	StorageClass string `json:"storage_class"`
	Encryption   bool   `json:"encryption,omitempty"`
	MTime        string `json:"mtime,omitempty"`
	MD5          bool   `json:"md5,omitempty"`
}

type restoreDescription struct {
	Days  int    `json:"days"`
	Speed string `json:"speed,omitempty"`
}

// revealed is a secret on its way to a node. Only its JSON shows it.
type revealed struct{ text string }

// Format keeps the secret out of every verb of package fmt.
func (revealed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, maskedSecret) }

// MarshalJSON shows the secret.
func (r revealed) MarshalJSON() ([]byte, error) { return json.Marshal(r.text) }

const maskedSecret = "***"

// describeSpec is the description of a job as the state keeps it, secrets masked.
func describeSpec(spec fsm.Spec) description {
	d := description{
		ID: spec.ID, Type: spec.Type, Source: describeSide(&spec.Source), Compare: spec.Compare, Verify: spec.Verify,
		Filter:      filterDescription{Include: spec.Filter.Include, Exclude: spec.Filter.Exclude, MinSize: spec.Filter.MinSize, KeysFrom: spec.Filter.KeysFrom},
		Task:        taskDescription{spec.Task.Objects, spec.Task.Bytes},
		Preserve:    describePreserve(spec.Preserve),
		Archived:    spec.Archived,
		Limits:      limitsDescription{spec.Limits.Bandwidth},
		Notify:      notifyDescription{spec.Notify.Mail},
		MaxFailures: spec.MaxFailures, Priority: spec.Priority, List: listReference(spec.List),
	}
	if spec.Archived == "restore" {
		d.Restore = &restoreDescription{spec.Restore.Days, spec.Restore.Speed}
	}
	if spec.Filter.Since != 0 {
		since := time.Unix(0, spec.Filter.Since).UTC()
		d.Filter.Since = &since
	}
	if spec.Destination != nil {
		side := describeSide(spec.Destination)
		d.Destination = &side
	}
	if spec.Type == "list" {
		d.Compare, d.Verify, d.Archived, d.Restore = "", "", "", nil // none of them goes with a job that only reads
	}
	return d
}

func describePreserve(p fsm.Preserve) preserveDescription {
	return preserveDescription{
		Metadata: p.Metadata, Tags: p.Tags, ACL: p.ACL, StorageClass: cmp.Or(p.StorageClass, conf.ClassDefault),
		Encryption: p.Encryption, MTime: p.MTime, MD5: p.MD5,
	}
}

func describeSide(s *fsm.Side) sideDescription {
	d := sideDescription{URL: s.URL}
	for field, to := range map[string]*revealed{
		fieldAccessKey: &d.AccessKey, fieldSecretKey: &d.SecretKey, fieldSessionToken: &d.SessionToken,
	} {
		if _, there := s.Sealed[field]; there {
			to.text = maskedSecret
		}
	}
	return d
}

// describeForNode is the description of a job file, with the secrets themselves and with URLs that mean the same on every
// machine.
func describeForNode(job *conf.Job, ends sides) description {
	d := describeSpec(specOf(job, ends))
	d.Source.reveal(ends.source.creds)
	if ends.destination != nil {
		d.Destination.reveal(ends.destination.creds)
	}
	return d
}

func (d *sideDescription) reveal(c store.Credentials) {
	d.AccessKey, d.SecretKey, d.SessionToken = revealed{c.AccessKey}, revealed{c.SecretKey}, revealed{c.SessionToken}
}
