package notify

import (
	"fmt"
	"strings"
)

// MailHost is where mail of a domain is handed in.
type MailHost struct {
	Host     string
	Port     int
	Security Security
}

// mailHosts are the vendors' own words: host, port and protection for their customers' programs.
var mailHosts = map[string]MailHost{
	"163.com":     {"smtp.163.com", 465, SecurityTLS},
	"126.com":     {"smtp.126.com", 465, SecurityTLS},
	"yeah.net":    {"smtp.yeah.net", 465, SecurityTLS},
	"qq.com":      {"smtp.qq.com", 465, SecurityTLS},
	"foxmail.com": {"smtp.qq.com", 465, SecurityTLS},
	"gmail.com":   {"smtp.gmail.com", 587, SecurityStartTLS},
	"outlook.com": {"smtp-mail.outlook.com", 587, SecurityStartTLS},
	"hotmail.com": {"smtp-mail.outlook.com", 587, SecurityStartTLS},
	"aliyun.com":  {"smtp.aliyun.com", 465, SecurityTLS},
}

// GuessMailHost tells where mail of a sender is handed in: by the table, else at smtp.DOMAIN with STARTTLS.
func GuessMailHost(from string) (MailHost, error) {
	a, err := ParseAddress(from)
	if err != nil {
		return MailHost{}, err
	}
	_, domain, ok := strings.Cut(a.Address, "@")
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if !ok || domain == "" || strings.ContainsAny(domain, "[] ") {
		return MailHost{}, fmt.Errorf("%q has no domain", clip(from, 100))
	}
	if h, ok := mailHosts[domain]; ok {
		return h, nil
	}
	return MailHost{"smtp." + domain, 587, SecurityStartTLS}, nil
}
