package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// jsonNotice is a notice as generic webhooks get it.
type jsonNotice struct {
	ID       uint64    `json:"id,omitempty"`
	Kind     Kind      `json:"kind"`
	Severity string    `json:"severity"`
	At       time.Time `json:"at"`
	Node     string    `json:"node,omitempty"`
	Job      string    `json:"job,omitempty"`
	State    string    `json:"state,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Found    int64     `json:"found,omitempty"`
	Copied   int64     `json:"copied,omitempty"`
	Failed   int64     `json:"failed,omitempty"`
}

// jsonMessage is the body of generic webhooks.
type jsonMessage struct {
	ID       string       `json:"id"`
	Severity string       `json:"severity"`
	Subject  string       `json:"subject"`
	Text     string       `json:"text"`
	Notices  []jsonNotice `json:"notices"`
}

// jsonRequest signs time and body: the header X-Brigade-Signature is "t=SECONDS,v1=HEX", HEX the HMAC-SHA256 of "SECONDS.BODY".
func jsonRequest(h *Webhook, m *Message) (string, http.Header, any, error) {
	doc := jsonMessage{ID: m.ID, Severity: m.Severity.String(), Subject: m.Subject, Text: m.Text}
	for i := range m.Notices {
		n := &m.Notices[i]
		one := jsonNotice{ID: n.ID, Kind: n.Kind, Severity: SeverityOf(n.Kind).String(), At: n.At.UTC(), Node: n.Node, Reason: n.Reason}
		if n.Job != nil {
			one.Job, one.State = n.Job.ID, n.Job.State
			one.Found, one.Copied, one.Failed = n.Job.Objects.Found, n.Job.Objects.Copied, n.Job.Objects.Failed
		}
		doc.Notices = append(doc.Notices, one)
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return "", nil, nil, err
	}
	header := http.Header{"X-Brigade-Id": {m.ID}}
	if h.Secret != "" {
		at := strconv.FormatInt(h.Now().Unix(), 10)
		header["X-Brigade-Signature"] = []string{"t=" + at + ",v1=" + hex.EncodeToString(sign(h.Secret, at+"."+string(body)))}
	}
	return h.URL, header, body, nil
}

// slackRequest has the form of https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks: the URL is the secret.
func slackRequest(h *Webhook, m *Message) (string, http.Header, any, error) {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	return h.URL, nil, map[string]any{"text": "*" + escape.Replace(m.Subject) + "*\n```\n" + escape.Replace(clip(m.Text, hookText)) + "\n```"}, nil
}

// dingtalkRequest has the form of https://open.dingtalk.com/document/orgapp/custom-robots-send-group-messages. Signed robots get
// the time in milliseconds and the signature as query parameters.
func dingtalkRequest(h *Webhook, m *Message) (string, http.Header, any, error) {
	u, err := url.Parse(h.URL)
	if err != nil {
		return "", nil, nil, fmt.Errorf("the URL cannot be used")
	}
	if h.Secret != "" {
		at := strconv.FormatInt(h.Now().UnixMilli(), 10)
		q := u.Query()
		q.Set("timestamp", at)
		q.Set("sign", dingtalkSign(at, h.Secret))
		u.RawQuery = q.Encode()
	}
	body := map[string]any{"msgtype": "markdown", "markdown": map[string]string{"title": m.Subject, "text": markdown(m)}}
	return u.String(), nil, body, nil
}

// dingtalkSign signs the time with the robot's secret (https://open.dingtalk.com/document/robots/customize-robot-security-settings).
func dingtalkSign(millis, secret string) string {
	return base64.StdEncoding.EncodeToString(sign(secret, millis+"\n"+secret))
}

// feishuRequest has the form of https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot, which is Lark's too.
func feishuRequest(h *Webhook, m *Message) (string, http.Header, any, error) {
	body := map[string]any{"msg_type": "text", "content": map[string]string{"text": m.Subject + "\n\n" + clip(m.Text, hookText)}}
	if h.Secret != "" {
		at := strconv.FormatInt(h.Now().Unix(), 10)
		body["timestamp"], body["sign"] = at, feishuSign(at, h.Secret)
	}
	return h.URL, nil, body, nil
}

// feishuSign is an HMAC of nothing, whose key is time and secret, as the vendor's page says.
func feishuSign(seconds, secret string) string {
	return base64.StdEncoding.EncodeToString(sign(seconds+"\n"+secret, ""))
}

// wecomRequest has the form of https://developer.work.weixin.qq.com/document/path/91770: the key in the URL is the secret, and a
// message takes 4,096 bytes.
func wecomRequest(h *Webhook, m *Message) (string, http.Header, any, error) {
	return h.URL, nil, map[string]any{"msgtype": "markdown", "markdown": map[string]string{"content": clipBytes(markdown(m), 4096)}}, nil
}

// markdown shows a message where letters have a meaning: what comes from outside stands in a block of code.
func markdown(m *Message) string {
	return "**" + strings.NewReplacer("*", "∗", "[", "(", "]", ")", "`", "'").Replace(m.Subject) + "**\n\n```\n" +
		strings.ReplaceAll(clip(m.Text, hookText), "```", "'''") + "\n```"
}

// clipBytes cuts a text to so many bytes, between letters.
func clipBytes(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const end = "…\n```"
	cut := most - len(end)
	for cut > 0 && text[cut]&0xC0 == 0x80 {
		cut--
	}
	return text[:cut] + end
}

// sign is the HMAC-SHA256 of a text.
func sign(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
