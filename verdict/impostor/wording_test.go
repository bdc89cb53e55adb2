package impostor_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/impostor"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// wordings are letters that were made up for this test, by topic.
var wordings = []struct{ code, text string }{
	{"wording.credentials", "Your password expires today. Please verify your mailbox to keep the same password."},
	{"wording.credentials", "Ihr Passwort läuft ab. Bitte bestätigen Sie Ihr Konto, um Ihre Daten zu behalten."},
	{"wording.suspension", "Votre compte a été suspendu à cause d'une activité inhabituelle."},
	{"wording.suspension", "Sua conta foi bloqueada por atividade suspeita."},
	{"wording.payment-failed", "Su pago fue rechazado. Actualice su método de pago para conservar la suscripción."},
	{"wording.payment-failed", "Uw betaling is mislukt, uw abonnement is verlopen."},
	{"wording.storage", "Ihr Speicher ist voll. Ihre Fotos werden gelöscht."},
	{"wording.storage", "Je hebt geen ruimte meer: je opslag is vol."},
	{"wording.parcel", "Il tuo pacco è in attesa di consegna, paga le spese di dogana."},
	{"wording.parcel", "Sua encomenda foi taxada e está retida na alfândega."},
	{"wording.prize", "Herzlichen Glückwunsch, Sie wurden ausgewählt! Nehmen Sie an unserer Umfrage teil und gewinnen Sie."},
	{"wording.prize", "Congratulations, you have been selected to win a brand new phone. Claim your reward."},
	{"wording.gift-card", "I need you to purchase some gift cards, scratch the back and send me the codes."},
	{"wording.extortion", "I hacked your device and your webcam. Send the bitcoin to my bitcoin address or I will send the video to your contacts."},
	{"wording.advance-fee", "Dear beneficiary, I am the widow of the late minister and wish to transfer this fund of ten million dollars as my next of kin."},
	{"wording.crypto", "The airdrop is now live. Connect your wallet and claim your tokens."},
	{"wording.gambling", "100 Freispiele ohne Einzahlung im Online Casino!"},
	{"wording.dating", "Hot girls in your area want sex tonight, meet singles now."},
	{"wording.health", "Herbal viagra without a prescription, weight loss without diet."},
	{"wording.finance", "Life insurance at the lowest rates available, free no obligation quote."},
	{"wording.work", "Make money from home and be your own boss, get rich with network marketing."},
	{"wording.bulk", "This is not spam. Reply with remove in the subject line to be removed from our mailing list."},
	{"wording.promotion", "Limited time offer: order now and get 50% off, money back guarantee, for your free trial."},
	{"wording.invoice", "Your subscription has been renewed and you have been charged. If you did not authorize this, call our toll free helpline."},
	{"wording.bank-change", "Please note our new bank details and process a payment to the new IBAN."},
	{"wording.bank-change", "Unsere Bankverbindung hat sich geändert, bitte nutzen Sie die neue Bankverbindung."},
	{"wording.urgency", "Urgent, action required within 24 hours, act now, this is your final warning."},
	{"wording.authority", "Regularize sua situação para evitar o bloqueio do seu CPF."},
	{"wording.authority", "You are eligible to receive a tax refund from the government."},
	{"wording.task", "Are you at your desk? I have a quick task and I'm in a meeting right now."},
	{"wording.goods", "University diplomas, non accredited, and replica watches."},
	{"wording.parcel", "Twoja paczka została wstrzymana, opłać cło."},
	{"wording.prize", "Grattis, du har vunnit ett presentkort!"},
	{"wording.suspension", "Hesabınız şüpheli giriş nedeniyle askıya alındı."},
	{"wording.credentials", "Vaše heslo vyprší. Ověřte svůj účet."},
	{"wording.suspension", "Ваша карта заблокирована: подозрительный вход."},
	{"wording.credentials", "تأكيد حسابك: تنتهي صلاحية كلمة المرور"},
	{"wording.suspension", "您的账户存在异常登录，已被冻结。"},
	{"wording.payment-failed", "お支払い方法に問題があります。お支払い方法を更新してください。"},
	{"wording.suspension", "비정상적인 로그인이 감지되어 계정이 정지되었습니다."},
	{"wording.authority", "Η εφορία: επιστροφή φόρου, φορολογικά στοιχεία"},
	{"wording.greeting", "Dear valued customer, hello."},
}

func TestWording(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, c := range wordings {
		tested[c.code] = true
		for _, m := range []verdicttest.Mail{{Text: c.text}, {HTML: "<p>" + c.text + "</p>", Header: []string{"DKIM-Signature: x"}}} {
			if got := scan(t, impostor.Scanner{}, m.Message(t)); !slices.Contains(got, c.code) {
				t.Errorf("%s: no %s among %v", c.text, c.code, got)
			}
		}
	}
	for _, code := range impostor.Codes() {
		if !tested[code] {
			t.Errorf("no text for %s", code)
		}
	}
}

// honest are texts that talk of the same things as fraud does.
var honest = []string{
	"Hello Bob, could you confirm the meeting on Tuesday? I have to update my calendar. The account of last year is finished.",
	"The kernel verifies the signature of each module before it is loaded. If the verification fails, access is restricted to root.",
	"Hallo, das Paket ist gestern angekommen, vielen Dank. Die Rechnung überweise ich morgen.",
	"Bonjour, je confirme la livraison de la commande pour jeudi. La facture suivra la semaine prochaine.",
	"Hola, mañana recibo el paquete. La reunión es a las diez y el informe está terminado.",
	"We won the match on Saturday! The winner of the raffle was Paul, who got a bottle of wine.",
	"The disk of the build server is nearly full, I will delete the old logs tonight.",
	"My flight was cancelled and I am waiting for a new one. Can you take over the class?",
	"Here are the minutes. Open questions: the insurance of the car, and who pays for the storage of the boat.",
}

func TestHonestWording(t *testing.T) {
	t.Parallel()
	for _, text := range honest {
		m := verdicttest.Mail{Text: text}.Message(t)
		findings, err := impostor.Scanner{}.Scan(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if score := verdict.TotalScore(findings); score > 2 {
			t.Errorf("%.1f: %s\n%v", score, text, findings)
		}
	}
}

func TestLongTextsCountLess(t *testing.T) {
	t.Parallel()
	short := "Verify your account and keep your password."
	if got := scan(t, impostor.Scanner{}, verdicttest.Mail{Text: short}.Message(t)); !slices.Contains(got, "wording.credentials") {
		t.Fatalf("%v", got)
	}
	long := strings.Repeat(prose(), 3) + short
	if got := scan(t, impostor.Scanner{}, verdicttest.Mail{Text: long}.Message(t)); slices.Contains(got, "wording.credentials") {
		t.Errorf("%v", got)
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	for code, terms := range impostor.Terms() {
		if verdict.Found(code).Score == 0 {
			t.Errorf("%s is not in the table of codes", code)
		}
		for _, term := range terms {
			if written, ok := strings.CutPrefix(term, "="); ok {
				if strings.ToLower(written) != written || !strings.ContainsFunc(written, func(r rune) bool { return r >= 0x370 }) {
					t.Errorf("%s: the term %q is not compared as it is written", code, written)
				}
				continue
			}
			if folded := impostor.FoldString(term); folded == "" || strings.Contains(folded, "~") {
				t.Errorf("%s: the term %q is folded to %q", code, term, folded)
			}
		}
	}
	names, domains := impostor.Brands()
	for i, list := range names {
		if len(list) == 0 || len(domains[i]) == 0 {
			t.Errorf("brand %d has no name or no domain: %v %v", i, list, domains[i])
		}
		for _, name := range list {
			last := name[len(name)-1]
			if folded := impostor.FoldString(name); len(folded) < 2 || last >= '0' && last <= '9' && name[0] > '9' && folded[len(folded)-1] != '0' {
				t.Errorf("the name %q is looked for as %q", name, folded)
			}
		}
		for _, d := range domains[i] {
			if impostor.Bogus(d) {
				t.Errorf("%v: %s is no domain", list, d)
			}
		}
	}
}
