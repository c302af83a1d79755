package fsm

// SpecVersion is the version of Spec's encoding that this binary writes. It reads this one and the one before.
const SpecVersion = 1

// Spec is the description of a job as submitted, with defaults filled in and credentials sealed.
type Spec struct {
	Version     int         `json:"version"`
	ID          string      `json:"id"`
	Type        string      `json:"type"`
	Source      Side        `json:"source"`
	Destination *Side       `json:"destination,omitempty"` // nil for type list
	Filter      FilterSpec  `json:"filter"`
	Compare     string      `json:"compare"`
	Verify      string      `json:"verify"`
	Task        TaskSpec    `json:"task"`
	Preserve    Preserve    `json:"preserve"`
	Limits      LimitsSpec  `json:"limits,omitzero"`
	Archived    string      `json:"archived,omitempty"` // skip, restore, or "" for fail
	Restore     RestoreSpec `json:"restore,omitzero"`
	Notify      NotifySpec  `json:"notify,omitzero"`
	MaxFailures int64       `json:"max_failures,omitempty"`
	Priority    int         `json:"priority,omitempty"`
	List        []byte      `json:"list,omitempty"` // name of the segment that lists the segments of an uploaded list
}

// Side is a source or destination.
type Side struct {
	URL       string            `json:"url"`                  // canonical
	SingleKey *string           `json:"single_key,omitempty"` // the source is this one object of URL
	Sealed    map[string][]byte `json:"sealed,omitempty"`     // field name to sealed value
}

// FilterSpec selects objects.
type FilterSpec struct {
	Include []string `json:"include,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
	Since   int64    `json:"since,omitempty"` // Unix nanoseconds; objects modified at or before it are filtered
	MinSize int64    `json:"min_size,omitempty"`
	// KeysFrom is the path or URL of a list of keys, as it was given.
	KeysFrom string `json:"keys_from,omitempty"`
}

// TaskSpec bounds the tasks that scans cut.
type TaskSpec struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// NotifySpec names who is told how a job goes, besides the cluster's own receivers.
type NotifySpec struct {
	Mail []string `json:"mail,omitempty"`
}

// LimitsSpec are a job's limits as they were written; JobLimits has what they mean.
type LimitsSpec struct {
	Bandwidth string `json:"bandwidth,omitempty"`
}

// Preserve says what is kept besides the bytes.
// Specs written before there was more than metadata have the rest empty, which means what those jobs did: nothing else is kept.
type Preserve struct {
	Metadata     bool   `json:"metadata"`
	Tags         bool   `json:"tags,omitempty"`
	ACL          bool   `json:"acl,omitempty"`
	StorageClass string `json:"storage_class,omitempty"` // keep, default, the destination's name of one class, or "" as default
	Encryption   bool   `json:"encryption,omitempty"`
	MTime        string `json:"mtime,omitempty"` // always, or "" for auto
	MD5          bool   `json:"md5,omitempty"`
}

// RestoreSpec says how archived objects are asked for.
type RestoreSpec struct {
	Days  int    `json:"days"`
	Speed string `json:"speed,omitempty"`
}
