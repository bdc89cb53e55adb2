package impostor

// Concepts are words of seven languages that mean the same where fraud uses them. Alone they mean nothing: every
// honest message has some. A star stands for any ending.
const (
	account concept = iota
	verify
	limited
	unusual
	signIn
	password
	expire
	subscription
	renew
	payment
	failed
	update
	parcel
	held
	fee
	storage
	full
	memories
	deleted
	prize
	win
	claim
	chosen
	survey
	free
	wallet
	token
	spins
	fund
	transfer
	deceased
	document
	fine
	conceptCount
)

// conceptList has words of a concept.
type conceptList struct {
	concept concept
	list    string
}

var conceptNames = [conceptCount]string{
	account: "account", verify: "verify", limited: "limited", unusual: "unusual", signIn: "sign-in", password: "password",
	expire: "expire", subscription: "subscription", renew: "renew", payment: "payment", failed: "failed", update: "update",
	parcel: "parcel", held: "held", fee: "fee", storage: "storage", full: "full", memories: "photos", deleted: "deleted",
	prize: "prize", win: "win", claim: "claim", chosen: "chosen", survey: "survey", free: "free", wallet: "wallet", token: "token",
	spins: "spins", fund: "fund", transfer: "transfer", deceased: "deceased", document: "document", fine: "fine",
}

var concepts = []conceptList{
	{account, `account|accounts|mailbox|profile|login details|credentials|membership
		konto|konten|benutzerkonto|kundenkonto|kontos|postfach|zugang|mitgliedschaft
		compte|comptes|messagerie|boite mail|espace client|identifiants
		cuenta|cuentas|buzón|usuario|conta|contas|acesso|cadastro|caixa postal|caixa de entrada
		account|conto|profilo|casella|utenza|credenziali
		rekening|mijn account|postvak|inloggegevens|gegevens|card|karte|carte|tarjeta|cartão|cartao|carta|pas`},
	{verify, `verify|verifying|verified|verification|confirm|confirming|validate|validation|re-validate|revalidate|authenticate|reconfirm
		bestätigen|bestätigung|verifizieren|verifizierung|überprüfen|legitimieren|identifizieren|freischalten
		vérifier|vérification|confirmer|valider|authentifier|mettre à jour vos
		verificar|verifica|verifique|verificación|confirmar|confirme|validar|valide|autenticar|regularizar|regularize
		verificare|confermare|conferma|convalidare|verifichi|verifica
		verifiëren|verifieer|bevestigen|bevestig|controleren|valideren`},
	{limited, `suspend|suspended|suspension|suspending|locked|lock|restricted|restriction*|limited access|deactivat*|disabled|blocked|block|closed|terminat*|on hold|frozen|interrupted|cut off|paused|temporarily limited
		gesperrt|sperrung|eingeschränkt|einschränkung*|deaktiviert|deaktivierung|blockiert|geschlossen|gekündigt|stillgelegt|gelöscht
		suspendu|suspendue|suspension|bloqué|bloquée|limité|restreint|désactivé|désactivée|désactivation|clôturé|résilié
		suspendida|suspendido|bloqueada|bloqueado|bloqueo|restringid*|limitada|desactivad*|suspensión|desactivación
		suspensa|suspenso|suspensao|suspensão|bloqueio|bloqueada|desativad*|cancelad*|inativ*
		sospeso|sospesa|bloccato|bloccata|limitato|limitata|disattivat*|sospensione
		geblokkeerd|opgeschort|beperkt|gedeactiveerd|afgesloten|vergrendeld|stopgezet`},
	{unusual, `unusual|suspicious|unrecognized|unrecognised|unauthorized|unauthorised|unknown device|abnormal|fraudulent|irregular
		ungewöhnlich*|verdächtig*|unbefugt*|nicht autorisiert*|unbekannte*
		inhabituel*|suspect|suspecte|suspectes|non autorisé*|frauduleu*|inhabituelle
		inusual|sospechos*|no autorizad*|irregular*|não autorizad*|suspeit*|incomum
		insolit*|sospett*|non autorizzat*|anomal*
		ongebruikelijk*|verdacht*|ongeautoriseerd*|niet herkend*`},
	{signIn, `sign in|signin|sign-in|log in|login|log-in|logon|access|activity|logged in|transaction
		anmeldung|anmelden|einloggen|anmeldeversuch|aktivität*|transaktion*
		connexion|se connecter|activité|transaction
		inicio de sesión|acceso|actividad|transacción|iniciar sesión|atividade|transação|acesso
		accesso|attività|transazione|inloggen|aanmelding|activiteit|transactie`},
	{password, `password|passwords|passcode|passwort|kennwort|mot de passe|contraseña|senha|senhas|parola d ordine|wachtwoord|pin code`},
	{expire, `expire|expires|expired|expiring|expiration|expiry|lapse|lapsed|ending today|about to end
		abgelaufen|ablauf|läuft ab|laeuft ab|verfallen|verfällt|endet heute
		expire|expiré|expirée|expiration|arrive à échéance|échue
		caduca*|expira*|vence|vencid*|vencimento|vencimiento|caducado|expirar|expirando
		scade|scaduto|scaduta|scadenza|in scadenza
		verloopt|verlopen|vervalt|vervallen|afloopt`},
	{subscription, `subscription|membership|protection|antivirus|anti-virus|licence|license|plan|coverage|warranty
		abo|abonnement|abonnements|mitgliedschaft|schutz|virenschutz|lizenz
		abonnement|protection|licence|suscripción|membresía|protección|licencia|assinatura|proteção|licença|plano
		abbonamento|protezione|licenza|lidmaatschap|bescherming|licentie`},
	{renew, `renew|renewal|renewed|renewing|auto-renew*|reactivate|restore|extend
		verlängern|verlängerung|erneuern|erneuerung|erneuert|reaktivieren
		renouveler|renouvellement|renouvelé|réactiver
		renovar|renovación|renovado|renovada|renovação|reactivar|reativar
		rinnovare|rinnovo|rinnova|verlengen|verleng|vernieuwen|verlenging`},
	{payment, `payment|payments|billing|card|direct debit|charge|credit card|debit card|payment method
		zahlung|zahlungen|zahlungsmethode|zahlungsart|abbuchung|kreditkarte|lastschrift|rechnung
		paiement|paiements|prélèvement|carte bancaire|moyen de paiement|facturation
		pago|pagos|cobro|tarjeta|método de pago|pagamento|pagamentos|cobrança|cartão
		pagamento|pagamenti|addebito|carta di credito|betaling|betalingen|betaalmethode|incasso`},
	{failed, `failed|declined|unsuccessful|could not be processed|not processed|rejected|unable to process|was not successful|problem|issue|overdue|required|was unable
		fehlgeschlagen|abgelehnt|nicht möglich|gescheitert|konnte nicht|problem|ausstehend*|zurückgewiesen
		échoué|échec|refusé|refusée|rejeté|problème|impayé*
		fallid*|rechazad*|denegad*|fracasad*|problema|pendente|recusad*|falhou|falha
		non riuscit*|rifiutat*|fallit*|mislukt|geweigerd|niet gelukt|afgewezen|openstaand*`},
	{update, `update|updating|updated|upgrade
		aktualisieren|aktualisierung|aktualisiert|mettre à jour|mise à jour|actualisez|actualizar|actualización|actualice|atualizar|atualização|atualize
		aggiornare|aggiorna|aggiornamento|bijwerken|bijgewerkt|updaten`},
	{parcel, `parcel|parcels|package|packages|shipment
		paket|pakete|sendung|lieferung|zustellung|päckchen|bestellung
		colis|livraison|envoi|commande
		paquete|envío|entrega|pedido|encomenda|encomendas|objeto|mercadoria|remessa
		pacco|spedizione|consegna|pakket|pakketje|pakketten|zending|levering|bezorging|bestelling`},
	{held, `on hold|held|pending|waiting|suspended|undelivered|could not be delivered|not be delivered|unable to deliver|failed|returned|detained|missed|stuck|unclaimed|unpaid|incomplete|incorrect address|wrong address
		zurückgehalten|angehalten|wartet|ausstehend|nicht zugestellt|konnte nicht|zurückgesendet|zurückgeschickt|unzustellbar|fehlgeschlagen|unvollständig*
		en attente|bloqué|retenu|suspendu|n a pas pu|non livré|retourné|échoué|incomplète
		retenid*|pendiente|en espera|no entregad*|devuelt*|fallid*|detenid*|retid*|retido|pendente|taxad*|tributad*|aguardando|fiscalizac*|fiscalização
		in attesa|trattenuto|giacenza|bloccato|fallit*|non consegnat*|sospes*
		vastgehouden|wacht|in afwachting|niet bezorgd|niet geleverd|teruggestuurd|mislukt|tegengehouden|adresfout|retour`},
	{fee, `fee|fees|customs|duty|duties|shipping cost*|shipping charge*|tax|toll|tolls|tariff|outstanding amount
		gebühr|gebühren|zoll|zollgebühr*|versandkosten|liefergebühr|einfuhrabgaben|maut
		frais|douane|douanes|droits de douane|taxe|péage
		tasa|tasas|aduana|aduanas|gastos de envío|arancel|taxa|taxas|alfândega|alfandega|imposto|impostos|tributo|tarifa|frete|pedágio
		dogana|dazio|spese|tassa|pedaggio|kosten|douane|verzendkosten|invoerrechten|heffing`},
	{storage, `storage|cloud|icloud|mailbox|inbox|quota|drive|disk space|disk quota|google drive|one drive|email account
		speicher|speicherplatz|cloudspeicher|postfach
		stockage|espace|boîte|almacenamiento|espacio|buzón|armazenamento|espaço|caixa|nuvem|nube
		spazio|archiviazione|casella|opslag|opslagruimte|ruimte|schijfruimte|cloudopslag`},
	{full, `full|almost full|exceeded|exceeds|limit|out of space|run out|running out|reached|blocked
		voll|belegt|erreicht|überschritten|erschöpft|fast voll|pleine|plein|saturé|saturée|dépassé|atteint
		lleno|llena|agotad*|excedid*|límite|cheio|cheia|esgotad*|atingid*
		pieno|piena|esaurit*|superat*|vol|bijna vol|overschreden|bereikt|geen ruimte`},
	{memories, `photos|pictures|videos|files|documents|data|emails|memories|messages
		fotos|bilder|dateien|daten|erinnerungen|photos|vidéos|fichiers|données|souvenirs
		archivos|datos|vídeos|recuerdos|arquivos|dados|foto|video|file|dati|bestanden|bijlagen|berichten`},
	{deleted, `deleted|delete|deletion|erased|removed|lost|lose|wiped|permanently
		gelöscht|löschung|verloren|löschen|supprimé*|effacé*|perdu*|suppression
		eliminad*|borrad*|perdid*|eliminación|apagad*|excluíd*|excluid*|perder
		eliminat*|cancellat*|pers*|verwijderd|gewist|verloren`},
	{prize, `prize|prizes|reward|rewards|gift card|giftcard|gift cards|gift|voucher|jackpot|winnings|mystery box|bonus|iphone|ipad|macbook|cash|set
		preis|preise|gewinn|gewinne|gutschein|gutscheine|geschenkkarte|geschenkkarten|geschenk|belohnung|prämie|überraschung|einkaufsgutschein*|probierpaket|guthaben
		prix|lot|lots|récompense|cadeau|cadeaux|carte cadeau|carte-cadeau|bon d achat|gain|gains
		premio|premios|recompensa|recompensas|regalo|tarjeta regalo|vale|prêmio|premio|prêmios|presente|cartão presente|brinde|brindes|cupom|pontos|puntos
		premi|buono|buoni|ricompensa|regali|carta regalo|prijs|prijzen|beloning|cadeau|cadeaukaart|cadeaubon|tegoedbon|waardebon|waardecheque`},
	{win, `win|winner|winners|won|winning|finalist*
		gewinnen|gewinner|gewinnerin|gewonnen|gewinne|gewinnspiel|verlosung|verlost|finalisten
		gagner|gagnant|gagnante|gagnants|gagné|gagnez|tirage
		ganar|ganador|ganadora|ganado|gana|sorteo|ganhar|ganhador|ganhadora|ganhou|ganhe|vencedor|sorteado|sorteio|sorteada
		vincere|vincitore|vincitrice|vinto|vinci|estrazione|winnen|winnaar|winnares|gewonnen|winactie|loting|win`},
	{claim, `claim|claims|claiming|redeem|collect|receive|secure|unlock|get your
		einlösen|sichern|beanspruchen|abholen|erhalten|anfordern|einfordern|freischalten
		réclamer|réclamez|récupérer|recevoir|recevez|obtenir|obtenez
		reclamar|reclama|reclame|canjear|canjea|recibir|reciba|obtener|resgatar|resgate|receber|receba|retirar|obter
		riscuotere|riscatta|ricevere|ricevi|ritirare|richiedi|claimen|ontvangen|ontvang|inwisselen|verzilver|bemachtigen`},
	{chosen, `selected|chosen|picked|eligible|shortlisted|entitled|qualified|lucky
		ausgewählt|auserwählt|ausgesucht|berechtigt|ausgelost|glücklichen
		sélectionné|sélectionnée|choisi|choisie|éligible|désigné
		seleccionado|seleccionada|elegido|elegida|escogid*|selecionad*|escolhid*|elegível|contemplad*|convidad*
		selezionat*|scelto|scelta|geselecteerd|uitgekozen|gekozen|uitverkoren`},
	{survey, `survey|questionnaire|few questions|short questions|feedback|opinion|loyalty program
		umfrage|fragen|fragebogen|meinung|treueprogramm|enquête|questionnaire|sondage|questions|avis
		encuesta|cuestionario|preguntas|opinión|pesquisa|questionário|perguntas
		sondaggio|questionario|domande|enquête|vragenlijst|vragen|mening`},
	{free, `free|complimentary|no cost|at no cost|gratis|kostenlos|kostenfrei|umsonst|gratuit|gratuite|gratuitement|offert|offerte|grátis|gratuito|gratuita|omaggio|gratis`},
	{wallet, `wallet|wallets|metamask|trust wallet|ledger|trezor|coinbase|binance|blockchain|opensea|exodus|seed phrase|recovery phrase|secret phrase|private key`},
	{token, `token|tokens|airdrop|airdrops|btc|bitcoin|bitcoins|eth|ethereum|xrp|usdt|nft|nfts|crypto|cryptocurrency|kryptowährung*|cripto*|crypto-monnaie|coin|coins|solana|staking`},
	{spins, `spins|spin|slots|casino|freispiele|freispielen|tours gratuits|giros|rodadas|giri|gokkast*|jackpot|roulette|blackjack|poker|willkommensbonus|welcome bonus|einzahlungsbonus`},
	{fund, `fund|funds|inheritance|estate|beneficiary|consignment|million dollars|million usd|million united states dollars|million euro*|million pounds|millions|unclaimed|dormant account
		erbschaft|begünstigter|millionen|héritage|bénéficiaire|fonds|herencia|beneficiari*|fondos|herança|beneficiári*|fundos|eredità|fondi|erfenis|begunstigde`},
	{transfer, `transfer|transferred|transferring|remit|remittance|release|deposit|deposited|payout|compensation
		überweisung|überweisen|transférer|virement|transferir|transferencia|transferência|depositado|bonifico|trasferire|trasferimento|overmaken|overschrijving`},
	{deceased, `deceased|late husband|late client|late father|my late|died|death|cancer|widow|barrister|next of kin|terminal illness|dying|plane crash
		verstorben|witwe|krebs|décédé*|veuve|cancer|fallecid*|viuda|cáncer|falecid*|viúva|câncer|morreu|defunto|vedova|overleden|weduwe|kanker`},
	{document, `cpf|cnpj|cnh|carteira de motorista|carteira nacional de habilitação|habilitação|título de eleitor|imposto de renda|receita federal|detran|tax return|tax refund|social security|driver s license|driver s licence|vehicle registration|passport|dni|agencia tributaria|hacienda|steuerrückerstattung|steuererstattung|finanzamt|remboursement d impôt|impots|carte vitale|assurance maladie|digid|belastingdienst|teruggave|medicare|agenzia delle entrate|rimborso`},
	{fine, `fine|penalty|infringement|violation|unpaid|overdue|irregularity|refund|suspension|legal action|lawsuit|court|subpoena|arrest warrant
		bußgeld|bussgeld|strafe|mahnung|erstattung|gerichtlich*|pfändung|gerichtsvollzieher
		amende|contravention|infraction|poursuites|remboursement|huissier|impayé*
		multa|multas|infracción|sanción|embargo|reembolso|infração|irregularidade*|bloqueio|suspensao|suspensão|pendência*|pendencia*|intimação|intimacao|processo|protesto|dívida ativa|regularize|regularizar
		multa|sanzione|rimborso|ingiunzione|boete|aanmaning|deurwaarder|beslag|incasso`},
}

// pairs say what two concepts near each other mean. Points are those of terms.
var pairs = [...]pair{
	{verify, account, 6, topicCredentials, 3},
	{verify, password, 6, topicCredentials, 3},
	{verify, wallet, 6, topicCrypto, 4},
	{update, account, 4, topicCredentials, 2},
	{password, expire, 6, topicCredentials, 4},
	{password, update, 5, topicCredentials, 2},
	{account, limited, 9, topicSuspension, 4},
	{account, deleted, 5, topicSuspension, 3},
	{wallet, limited, 8, topicSuspension, 4},
	{unusual, signIn, 4, topicSuspension, 4},
	{subscription, expire, 6, topicPayment, 4},
	{subscription, renew, 5, topicPayment, 2},
	{subscription, limited, 5, topicPayment, 2},
	{payment, failed, 5, topicPayment, 3},
	{payment, update, 5, topicPayment, 4},
	{payment, expire, 5, topicPayment, 3},
	{parcel, held, 6, topicParcel, 4},
	{parcel, fee, 6, topicParcel, 3},
	{held, fee, 8, topicParcel, 2},
	{storage, full, 5, topicStorage, 4},
	{storage, expire, 6, topicStorage, 3},
	{storage, deleted, 6, topicStorage, 2},
	{memories, deleted, 6, topicStorage, 3},
	{prize, win, 7, topicPrize, 3},
	{prize, claim, 5, topicPrize, 3},
	{prize, chosen, 8, topicPrize, 4},
	{chosen, win, 8, topicPrize, 4},
	{survey, prize, 10, topicPrize, 4},
	{free, prize, 3, topicPrize, 2},
	{token, claim, 5, topicCrypto, 4},
	{token, free, 4, topicCrypto, 3},
	{wallet, token, 10, topicCrypto, 2},
	{wallet, update, 5, topicCrypto, 3},
	{spins, free, 3, topicGambling, 3},
	{spins, prize, 4, topicGambling, 3},
	{spins, claim, 6, topicGambling, 2},
	{fund, transfer, 8, topicAdvance, 3},
	{fund, deceased, 14, topicAdvance, 3},
	{deceased, transfer, 14, topicAdvance, 2},
	{document, limited, 6, topicAuthority, 4},
	{document, fine, 8, topicAuthority, 3},
	{document, verify, 6, topicAuthority, 3},
	{fine, payment, 6, topicAuthority, 2},
}
