package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/notify"
)

// Notices tells people, as the cluster is set.
type Notices interface {
	// Receivers are those of the cluster, and those that could not be told last, by name.
	Receivers() []NoticeReceiver
	// Test sends a message of kind test at once to each of the receivers, and tells what came of it.
	Test(ctx context.Context, receivers []string) []NoticeTested
}

// NoticeStatus is what GET /v1/notices answers: how people are told, and what waits to be told.
type NoticeStatus struct {
	Settings  []Setting        `json:"settings"`  // of mail, webhooks and notices; secrets are masked
	Receivers []NoticeReceiver `json:"receivers"` // of the cluster, and those of jobs that could not be told last
	Waiting   int              `json:"waiting"`   // notices that somebody is still to be told of
	Dropped   uint64           `json:"dropped"`   // notices that nobody was told of, because too many waited
	Freshness
}

// NoticeReceiver is somebody who is told.
type NoticeReceiver struct {
	Name    string `json:"name"`              // mail:ADDRESS or webhook:NAME
	Cluster bool   `json:"cluster"`           // is told of the cluster's notices, not of a job's alone
	Problem string `json:"problem,omitempty"` // why it could not be told last
	// ProblemAt is when that was.
	ProblemAt *time.Time `json:"problem_at,omitempty"`
}

// NoticeTest is the body of POST /v1/notices/test. Without either, all mail receivers of the cluster get a message.
type NoticeTest struct {
	To      string `json:"to,omitempty"`      // a mail address
	Webhook string `json:"webhook,omitempty"` // the name of a webhook
}

// NoticeTests is what POST /v1/notices/test answers.
type NoticeTests struct {
	Results []NoticeTested `json:"results"`
	Freshness
}

// NoticeTested is how a test message went.
type NoticeTested struct {
	Name    string `json:"name"` // as of a receiver
	Server  string `json:"server,omitempty"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"` // what the server said, and what to do
}

// testPatience is for servers that are slow to answer.
const testPatience = 25 * time.Second

// Prefixes of the names of receivers.
const (
	MailReceiver    = "mail:"
	WebhookReceiver = "webhook:"
)

func (s *Server) showNotices(context.Context, *call) (*reply, error) {
	d := &NoticeStatus{Settings: []Setting{}, Receivers: []NoticeReceiver{}}
	s.cfg.State.Read(func(state *fsm.State) {
		for _, one := range listSettings(state.Settings()) {
			if group, _, _ := strings.Cut(one.Name, "."); group == "mail" || group == "webhook" || group == "notify" {
				d.Settings = append(d.Settings, one)
			}
		}
		d.Waiting, d.Dropped = len(state.Notices()), state.NoticesDropped()
	})
	if s.cfg.Notices != nil {
		d.Receivers = append(d.Receivers, s.cfg.Notices.Receivers()...)
	}
	return &reply{document: d}, nil
}

func (s *Server) testNotices(ctx context.Context, in *call) (*reply, error) {
	var wanted NoticeTest
	if len(in.body) > 0 {
		if err := decode(in.body, &wanted); err != nil {
			return nil, err
		}
	}
	receivers, err := s.tested(wanted)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "%s", err)
	}
	d := &NoticeTests{Results: []NoticeTested{}}
	if in.done != nil {
		return &reply{document: d}, nil // what came of it is not kept
	}
	if err := s.propose(ctx, in, "notice-test", strings.Join(receivers, " "), nil); err != nil {
		return nil, err
	}
	if in.done == nil {
		d.Results = append(d.Results, s.cfg.Notices.Test(ctx, receivers)...)
	}
	return &reply{document: d}, nil
}

// tested names whom a test is for.
func (s *Server) tested(wanted NoticeTest) (receivers []string, err error) {
	if s.cfg.Notices == nil {
		return nil, fmt.Errorf("this node tells nobody of anything")
	}
	switch {
	case wanted.To != "" && wanted.Webhook != "":
		return nil, fmt.Errorf("a test goes to a mail address or to a webhook, not to both")
	case wanted.To != "":
		a, err := notify.ParseAddress(wanted.To)
		if err != nil || len(a.Address) > maxAddress {
			return nil, fmt.Errorf("%.100q is no mail address such as ops@example.com", wanted.To)
		}
		return []string{MailReceiver + a.Address}, nil
	case wanted.Webhook != "":
		if _, _, ok := WebhookOf(WebhookSetting(wanted.Webhook, WebhookURL)); !ok || s.setting(WebhookSetting(wanted.Webhook, WebhookURL)) == "" {
			return nil, fmt.Errorf("there is no webhook %.40q; set webhook.NAME.url first", wanted.Webhook)
		}
		return []string{WebhookReceiver + wanted.Webhook}, nil
	}
	to := s.setting(MailTo)
	if to == "" {
		return nil, fmt.Errorf("mail.to is not set, and no address is given")
	}
	all, err := MailAddresses(to)
	for _, a := range all {
		receivers = append(receivers, MailReceiver+a)
	}
	return receivers, err
}

func (s *Server) setting(name string) (value string) {
	s.cfg.State.Read(func(state *fsm.State) { value = state.Setting(name) })
	return value
}

// Notices tells how people are told, and what waits to be told.
func (c *Client) Notices(ctx context.Context) (*NoticeStatus, error) {
	var d NoticeStatus
	return &d, c.call(ctx, http.MethodGet, "/v1/notices", nil, nil, &d)
}

// TestNotices sends test messages.
func (c *Client) TestNotices(ctx context.Context, test NoticeTest) (*NoticeTests, error) {
	body, err := json.Marshal(test)
	if err != nil {
		return nil, fmt.Errorf("encode test: %w", err)
	}
	var d NoticeTests
	return &d, c.call(ctx, http.MethodPost, "/v1/notices/test", nil, body, &d)
}
