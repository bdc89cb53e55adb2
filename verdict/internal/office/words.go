package office

import "strings"

// autoNames are procedures that Word, Excel, PowerPoint and Publisher call by name, in lower case.
var autoNames = set(`
	autoexec autoopen autoclose autonew autoexit
	auto_open auto_close auto_activate auto_deactivate auto_add auto_remove auto_exec
	document_open document_close document_new document_beforeclose documentopen documentbeforeclose documentchange
	document_documentopened document_contentcontrolonexit document_contentcontrolonenter newdocument
	workbook_open workbook_close workbook_beforeclose workbook_activate workbook_deactivate workbook_addininstall
	workbook_windowactivate workbook_beforesave workbook_sheetactivate worksheet_activate worksheet_calculate worksheet_change
	worksheet_selectionchange workbookopen sheet_activate
	presentation_open presentation_close presentationopen onslideshowpagechange onslideshowterminate slideshownextslide
	slideshowbegin auto_showbegin auto_nextslide auto_print app_windowactivate onload ribbon_onload
	reportautoopen form_load form_open class_initialize userform_initialize userform_activate
	application_startup application_newmail application_newmailex application_itemsend application_quit`)

// autoEvents are events of controls that happen without a click, in lower case. A procedure is named
// after its control and one of these.
var autoEvents = set(`
	painted painting gotfocus lostfocus mousehover mousemove layout resize
	beforenavigate2 beforescriptexecute documentcomplete downloadbegin downloadcomplete filedownload
	navigatecomplete2 navigateerror progresschange propertychange setsecurelockicon statustextchange
	titlechange onconnecting onconnected ondisconnected onauthenticationcompleted onrequestgofullscreen
	onfatalerror onlogincomplete onlogonerror onremotedesktopsizechange`)

const maxWord = 32

// suspiciousWords are names that tools of attackers need and few others do, by their lower case.
var suspiciousWords = index(`
	Shell ShellExecute ShellExecuteA ShellExecuteW WinExec CreateProcess CreateProcessA CreateProcessW
	CreateObject GetObject CallByName ExecuteExcel4Macro MacScript SendKeys AppActivate
	URLDownloadToFile URLDownloadToFileA URLDownloadToFileW URLDownloadToCacheFileA urlmon
	WScript PowerShell pwsh mshta rundll32 regsvr32 certutil bitsadmin cscript wmic msiexec schtasks
	Win32_Process Win32_ProcessStartup winmgmts
	XMLHTTP ServerXMLHTTP XMLHTTP60 WinHttpRequest WinHttp InternetExplorer ADODB SaveToFile
	FileSystemObject CreateTextFile
	RegWrite RegDelete ExpandEnvironmentStrings
	VirtualAlloc VirtualAllocEx VirtualProtect WriteProcessMemory RtlMoveMemory CreateThread CreateRemoteThread
	NtAllocateVirtualMemory QueueUserAPC EnumSystemLocalesA HeapCreate LoadLibrary LoadLibraryA GetProcAddress
	CallWindowProcA DDEInitiate DDEExecute FollowHyperlink
	VBProject VBComponents CodeModule AddFromString AccessVBOM VBAWarnings
	StrReverse FromBase64String ScriptControl DownloadString DownloadFile iex`)

func set(list string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(list) {
		out[w] = true
	}
	return out
}

func index(list string) map[string]string {
	out := map[string]string{}
	for _, w := range strings.Fields(list) {
		out[strings.ToLower(w)] = w
	}
	return out
}
