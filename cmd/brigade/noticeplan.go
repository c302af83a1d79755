package main

import (
	"crypto/x509"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/notify"
)

// What holds where a setting says nothing.
const (
	defaultStalled    = 30 * time.Minute
	defaultErrorShare = 0.05
	defaultNodeDead   = 30 * time.Second
	defaultNoLeader   = time.Minute
)

// noticePlan is how people are told, as the cluster is set. It is not changed once it is made.
type noticePlan struct {
	set map[string]string // that it was made of

	mailer  *notify.Mailer // nil where no mail is sent
	mailErr error          // what is wrong with the settings of mail
	to      []string
	hooks   map[string]*hookPlan

	language   string
	severity   notify.Severity
	digest     time.Duration
	stalled    time.Duration
	errorShare float64 // 0: nobody is told
	nodeDead   time.Duration
	noLeader   time.Duration
}

// hookPlan is one webhook, and what is wrong with its settings.
type hookPlan struct {
	hook *notify.Webhook
	err  error
}

var errNoSender = errors.New("mail.from is not set, so that no mail is sent")

// planNotices reads the settings. What is wrong with one of them keeps the others from nothing.
func planNotices(set map[string]string, sealer api.Sealer, node string, now func() time.Time) *noticePlan {
	p := &noticePlan{
		set: set, hooks: map[string]*hookPlan{}, language: "en", severity: notify.Warning,
		stalled: durationIn(set, api.NotifyStalled, defaultStalled), errorShare: defaultErrorShare,
		nodeDead: durationIn(set, api.NotifyNodeDead, defaultNodeDead), noLeader: durationIn(set, api.NotifyNoLeader, defaultNoLeader),
		digest: durationIn(set, api.NotifyDigest, 0),
	}
	if v := set[api.MailLanguage]; v != "" {
		p.language = v
	}
	if s, err := notify.ParseSeverity(set[api.NotifySeverity]); err == nil {
		p.severity = s
	}
	if share, err := api.ParseShare(set[api.NotifyErrorShare]); err == nil {
		p.errorShare = share
	}
	if to := set[api.MailTo]; to != "" {
		p.to, _ = api.MailAddresses(to) // the setting was read before it was made
	}
	p.mailer, p.mailErr = mailerOf(set, sealer, node, now)
	for setting := range set {
		if name, field, ok := api.WebhookOf(setting); ok && field == api.WebhookURL {
			p.hooks[name] = planHook(name, set, sealer, now)
		}
	}
	return p
}

func durationIn(set map[string]string, name string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(set[name]); err == nil && d > 0 {
		return d
	}
	return otherwise
}

func mailerOf(set map[string]string, sealer api.Sealer, node string, now func() time.Time) (*notify.Mailer, error) {
	if set[api.MailFrom] == "" {
		return nil, errNoSender
	}
	at, err := notify.GuessMailHost(set[api.MailFrom])
	if host := set[api.MailHost]; host != "" {
		at.Host = host
		if at.Port == 0 {
			at.Port, at.Security = 587, notify.SecurityStartTLS
		}
	} else if err != nil {
		return nil, err
	}
	if port, err := strconv.Atoi(set[api.MailPort]); err == nil {
		at.Port = port
	}
	if s, err := notify.ParseSecurity(set[api.MailSecurity]); err == nil {
		at.Security = s
	}
	m := &notify.Mailer{Host: at.Host, Port: at.Port, Security: at.Security, User: set[api.MailUser], From: set[api.MailFrom], Hello: node, Now: now}
	if pem := set[api.MailCA]; pem != "" {
		m.Roots = x509.NewCertPool()
		if !m.Roots.AppendCertsFromPEM([]byte(pem)) {
			return m, errors.New("mail.ca_file holds no certificate")
		}
	}
	m.Password, err = api.OpenSetting(sealer, api.MailPassword, set[api.MailPassword])
	return m, err
}

func planHook(name string, set map[string]string, sealer api.Sealer, now func() time.Time) *hookPlan {
	open := func(field string) (string, error) {
		setting := api.WebhookSetting(name, field)
		return api.OpenSetting(sealer, setting, set[setting])
	}
	url, err := open(api.WebhookURL)
	secret, serr := open(api.WebhookSecret)
	h := api.HookOf(name, url, set)
	h.Secret, h.Now = secret, now
	return &hookPlan{h, errors.Join(err, serr)}
}

// broken tells whether a secret could not be opened: with another key it may be.
func (p *noticePlan) broken() bool {
	for _, h := range p.hooks {
		if h.err != nil {
			return true
		}
	}
	return p.mailErr != nil && p.mailer != nil
}

// receivers are those of the cluster.
func (p *noticePlan) receivers() (names []string) {
	if p.mailer != nil {
		for _, a := range p.to {
			names = append(names, api.MailReceiver+a)
		}
	}
	for name := range p.hooks {
		names = append(names, api.WebhookReceiver+name)
	}
	return names
}

// noticePlans makes a plan when settings change.
type noticePlans struct {
	machine *fsm.Machine
	sealer  api.Sealer
	node    string
	now     func() time.Time

	mu   sync.Mutex
	last *noticePlan
}

// plan is how things are set now.
func (p *noticePlans) plan() *noticePlan {
	var set map[string]string
	p.machine.Read(func(s *fsm.State) { set = s.Settings() })
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil || p.last.broken() || !maps.Equal(set, p.last.set) {
		p.last = planNotices(set, p.sealer, p.node, p.now)
	}
	return p.last
}
